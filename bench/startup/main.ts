/**
 * How long until something happens: compile and plan of each preset, and the thimble command from
 * its start to its first training step.
 *
 *   npm run bench:startup -- [--only TEXT] [--rounds N] [--dry-run]
 *
 * `--only` takes the cases whose name contains the text, and saves nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, save } from '../harness/results.js';
import { interleave } from '../harness/rounds.js';
import { spread } from '../harness/statistics.js';
import { startupCases } from './cases.js';
import { startupTable, type StartupResult } from './table.js';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '7' },
    'dry-run': { type: 'boolean', default: false },
  },
});
const rounds = Number(options.rounds);
const folder = await mkdtemp(join(tmpdir(), 'thimble-startup-'));
try {
  const cases = (await startupCases(folder)).filter(({ name }) => name.includes(options.only));
  const machine = await machineRecord();
  // The first samples read a cold disk.
  for (const { measure } of cases) await measure();
  const samples = await interleave(cases, { rounds });
  const results = cases.map(({ name, goalMs }): StartupResult => {
    const own = samples.get(name) ?? [];
    const cpuMs = own.map(([, computed]) => computed);
    return {
      ...{ name, goalMs, ms: spread(own.map(([ms]) => ms)) },
      cpuMs: cpuMs.every(Number.isFinite) ? spread(cpuMs) : null,
    };
  });
  const text = document('Startup', machine, startupTable(results, rounds));
  console.log(text);
  if (!options['dry-run'] && options.only === '') {
    await save('startup', { machine, rounds, results }, text);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
