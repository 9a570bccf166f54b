/**
 * The gradients of TensorFlow.js, which its build for Node leaves out: they are in the package as
 * modules for bundlers, whose imports have no extensions. Node loads them with a hook that adds
 * them; they join the engine that is already there.
 */
import { register } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageMain } from '../shared/packages.js';

const HOOKS = `
const isInside = (url) =>
  url?.includes('/@tensorflow/tfjs-core/dist/') && !url.endsWith('.node.js');
export const resolve = (specifier, context, next) => {
  const bare = isInside(context.parentURL) && /^\\./.test(specifier) && !/\\.js$/.test(specifier);
  return next(bare ? specifier + '.js' : specifier, context);
};
export const load = (url, context, next) =>
  next(url, isInside(url) ? { ...context, format: 'module' } : context);
`;

export async function registerGradients(): Promise<void> {
  register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);
  const folder = dirname(packageMain('@tensorflow/tfjs-core') ?? '');
  await import(pathToFileURL(join(folder, 'register_all_gradients.js')).href);
}
