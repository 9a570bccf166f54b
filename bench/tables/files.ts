/** The pages with tables and the results that these are made from. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  speedBlock,
  type InferenceResults,
  type StartupResults,
  type StepResults,
} from './speed.js';
import type { Store } from '../methods/store.js';
import type { ProcessResults } from '../process/measure.js';
import { accuracyBlock } from './accuracy.js';
import { hasBlock, withBlock } from './block.js';
import { processBlock, type LoadingResults, type ManyImagesResults } from './process.js';
import { scaleBlock, withScaleParagraph } from './scale.js';
import { scaleAims } from './scale-aims.js';
import type { ScaleResults } from '../scale/store.js';

/** A page with its blocks as the results below `root` make them. */
export interface Page {
  readonly path: string;
  readonly rewritten: (page: string) => string;
}

export function pages(root: string): readonly Page[] {
  const withParagraph = (page: string) =>
    withScaleParagraph(page, resultOf(root, 'scale') as ScaleResults);
  return [
    { path: join(root, 'docs/benchmarks.md'), rewritten: (page) => withBlocks(page, root) },
    { path: join(root, 'README.md'), rewritten: withParagraph },
  ];
}

function withBlocks(page: string, root: string): string {
  const step = resultOf(root, 'step') as StepResults;
  const inference = resultOf(root, 'inference') as InferenceResults | null;
  const startup = resultOf(root, 'startup') as StartupResults | null;
  const scale = resultOf(root, 'scale') as ScaleResults;
  const methods = resultOf(root, 'methods') as Store;
  // A page whose table of methods was written by hand has no place for it.
  const isMade = hasBlock(page, 'accuracy');
  const withMethods = isMade ? withBlock(page, 'accuracy', accuracyBlock(methods)) : page;
  const process = resultOf(root, 'process') as ProcessResults | null;
  const atScale = [scaleBlock(scale), scaleAims(scale, process)].join('\n');
  const withScale = withBlock(withMethods, 'scale', atScale);
  const withSpeed = withBlock(withScale, 'speed', speedBlock(step, inference, startup));
  const loading = resultOf(root, 'loading') as LoadingResults | null;
  const images = resultOf(root, 'many-images') as ManyImagesResults | null;
  return withBlock(withSpeed, 'process', processBlock(loading, images, process));
}

/** null: no such result. */
function resultOf(root: string, name: string): unknown {
  const path = join(root, 'bench/results', `${name}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as unknown) : null;
}
