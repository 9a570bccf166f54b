/**
 * How the cost of a training step grows with batch, tokens, width and depth, for `full` and `wasi`.
 *
 *   npm run bench:growth -- [--executor native|wasm] [--rounds N] [--threads N] [--dry-run]
 *
 * One thread unless asked otherwise: a thread that has lost its core to others makes all wait, which
 * hides how the work grows. Saved are bench/results/growth.json, growth.md and growth.svg.
 */
import { lookUp, wasmExecutor, type ExecutorKind } from '@thimble/core';
import { native } from '@thimble/native';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { measureGrowth } from './measure.js';
import { drawPicture } from './picture.js';
import { growthText } from './table.js';

const EXECUTORS: Readonly<Record<string, ExecutorKind>> = { native, wasm: wasmExecutor };

const { values: options } = parseArgs({
  options: {
    executor: { type: 'string', default: 'native' },
    rounds: { type: 'string', default: '7' },
    threads: { type: 'string', default: '1' },
    'dry-run': { type: 'boolean', default: false },
  },
});
const { executor } = options;
const threads = Number(options.threads);
const rounds = Number(options.rounds);
const kind = lookUp('executor', executor, EXECUTORS);
const machine = await machineRecord();
const points = await measureGrowth(kind, { rounds, threads });
const result = { executor, threads, rounds, points };
const text = document('Growth of cost', machine, growthText(result));
console.log(text);
if (!options['dry-run']) {
  await save('growth', { machine, ...result }, text);
  await drawPicture(result);
}
