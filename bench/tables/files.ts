/** The page of benchmarks and the results that its tables are made from. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  speedBlock,
  type InferenceResults,
  type StartupResults,
  type StepResults,
} from './speed.js';
import type { Store } from '../methods/store.js';
import { accuracyBlock } from './accuracy.js';
import { hasBlock, withBlock } from './block.js';
import { scaleBlock, type ScaleResults } from './scale.js';

export function pagePath(root: string): string {
  return join(root, 'docs/benchmarks.md');
}

/** `page` with every block as the results below `root` make it. */
export function withBlocks(page: string, root: string): string {
  const step = resultOf(root, 'step') as StepResults;
  const inference = resultOf(root, 'inference') as InferenceResults | null;
  const startup = resultOf(root, 'startup') as StartupResults | null;
  const scale = resultOf(root, 'scale') as ScaleResults;
  const methods = resultOf(root, 'methods') as Store;
  // A page whose table of methods was written by hand has no place for it.
  const isMade = hasBlock(page, 'accuracy');
  const withMethods = isMade ? withBlock(page, 'accuracy', accuracyBlock(methods)) : page;
  const withScale = withBlock(withMethods, 'scale', scaleBlock(scale));
  return withBlock(withScale, 'speed', speedBlock(step, inference, startup));
}

/** null: no such result. */
function resultOf(root: string, name: string): unknown {
  const path = join(root, 'bench/results', `${name}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as unknown) : null;
}
