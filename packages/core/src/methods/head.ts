/**
 * head: a linear probe; only the classifier trains.
 *
 * Closed form: B·D, the classifier's input. Gradients and optimiser state for (D + 1)·C parameters.
 * Everything below the classifier runs forward only.
 */
import { noConfig } from './options.js';
import type { Method } from './method.js';
import { trainOnly } from './trainable.js';

export const head: Method<null> = {
  name: 'head',
  summary: 'train the classifier only (linear probe)',
  usage: 'head',
  parse: (text) => noConfig('head', text),
  print: () => 'head',
  forward: (model) => trainOnly(model, (name) => name.startsWith(model.head)),
  neutral: () => null,
};
