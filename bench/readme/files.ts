/** The README and the results that its tables are made from. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  readmeBlock,
  type InferenceResults,
  type StartupResults,
  type StepResults,
} from './block.js';

export function readmePath(root: string): string {
  return join(root, 'README.md');
}

/** The block as the results below `root` make it. */
export function blockOf(root: string): string {
  const step = resultOf(root, 'step') as StepResults;
  const inference = resultOf(root, 'inference') as InferenceResults | null;
  return readmeBlock(step, inference, resultOf(root, 'startup') as StartupResults | null);
}

/** null: no such result. */
function resultOf(root: string, name: string): unknown {
  const path = join(root, 'bench/results', `${name}.json`);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as unknown) : null;
}
