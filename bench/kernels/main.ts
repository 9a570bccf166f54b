/**
 * The kernels beside the machine's own limits.
 *
 *   npm run bench:kernels -- [--only TEXT] [--rounds N] [--threads N] [--dry-run]
 *
 * `--only` takes the kernels whose name contains the text, and saves nothing.
 */
import { ConfigError } from '@thimble/core';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { KERNEL_CASES } from './cases.js';
import { kernelContestants } from './contestants.js';
import { measureKernel, type KernelResult } from './measure.js';
import { kernelTables } from './table.js';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '11' },
    threads: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    'dry-run': { type: 'boolean', default: false },
  },
});
const cases = KERNEL_CASES.filter(({ name }) => name.includes(options.only));
if (cases.length === 0) {
  throw new ConfigError({
    where: '--only',
    expected: 'a part of the name of a kernel',
    got: options.only,
    todo: `Use a part of: ${KERNEL_CASES.map(({ name }) => name).join(', ')}`,
  });
}

const rounds = Number(options.rounds);
const contestants = await kernelContestants(Number(options.threads));
const machine = await machineRecord();
const results: KernelResult[] = [];
for (const item of cases) {
  process.stderr.write(`${item.name}\n`);
  results.push(await measureKernel(item, contestants, rounds));
}
await Promise.all(contestants.map(({ peak }) => peak.dispose()));

const text = document('Kernels', machine, kernelTables(results, rounds));
console.log(text);
if (!options['dry-run'] && options.only === '') {
  await save('kernels', { machine, rounds, results }, text);
}
