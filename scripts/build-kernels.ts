/**
 * `npm run build`, second half (after tsc): the argument structs for C from the op records, plain
 * JavaScript files that tsc does not copy, then the kernels as WebAssembly and, where there is a C
 * compiler, as a native addon. Each part does nothing when its inputs are unchanged.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kernelFolder, root, writeAtomically } from './build/files.js';
import { buildNative } from './build/native.js';
import { buildWasm } from './build/wasm.js';
import { programHeader } from './program-header.js';

await writeIfChanged(join(kernelFolder, 'program.h'), programHeader());
await writeIfChanged(
  join(root, 'packages/core/dist/executors/wasm/worker.js'),
  await readFile(join(root, 'packages/core/src/executors/wasm/worker.js'), 'utf8'),
);
await buildWasm();
await buildNative();

/** Leaves a file with the right content alone, so that nothing made from it looks out of date. */
async function writeIfChanged(path: string, content: string): Promise<void> {
  if (existsSync(path) && (await readFile(path, 'utf8')) === content) return;
  await writeAtomically(path, content);
}
