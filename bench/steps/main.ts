/**
 * Whole training steps: Thimble's executors beside the peers.
 *
 *   npm run bench:step -- [--case NAME] [--only TEXT] [--rounds N] [--threads N] [--dry-run]
 *   npm run bench:step -- --profile [--case NAME] [--executor native|wasm] [--rounds N]
 *
 * `--case` leaves the saved results of the other cases as they are. `--only` takes the contestants
 * whose names match. A peer whose step takes ten seconds and more
 * gets few of them; the whole benchmark still takes half an hour. The environment variable
 * THIMBLE_PEER_PYTHON names a Python with PyTorch; without it, its row says so. `--profile` shows
 * the time by op instead, of both executors or one, and saves it as bench/results/profile.md.
 */
import { lookUp } from '@thimble/core';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { document, load, save, saveText } from '../harness/results.js';
import { STEP_CASES, type StepCase } from './cases.js';
import { ownName } from './contestants.js';
import { measureCase, type CaseResult } from './measure.js';
import { profileStep } from './profile.js';
import { stepTable } from './table.js';
import { STEP_EXECUTORS, type StepExecutorName } from './trainer.js';
import { writeWorkload } from './workload.js';

const { values: options } = parseArgs({
  options: {
    case: { type: 'string' },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    threads: { type: 'string' },
    executor: { type: 'string' },
    profile: { type: 'boolean', default: false },
    'dry-run': { type: 'boolean', default: false },
  },
});
const cases = chosenCases(options.case);
const threads = Number(options.threads ?? availableParallelism());
await (options.profile ? printProfile() : benchmark());

async function benchmark(): Promise<void> {
  const measured: CaseResult[] = [];
  for (const step of cases) {
    const only = new RegExp(options.only, 'u');
    measured.push(await measureCase(step, { threads, only, rounds: Number(options.rounds ?? 15) }));
  }
  const { machine } = measured[measured.length - 1];
  const results = await withSaved(measured);
  const text = document('Training steps', machine, results.map(stepTable).join('\n'));
  console.log(text);
  if (!options['dry-run']) await save('step', { results }, text);
}

/** What was measured now, and of the other cases what was saved, in the order of STEP_CASES. */
async function withSaved(measured: readonly CaseResult[]): Promise<readonly CaseResult[]> {
  const saved = ((await load('step')) as { results?: readonly CaseResult[] } | null)?.results ?? [];
  return STEP_CASES.flatMap(({ name }) => {
    const result = [...measured, ...saved].find((one) => one.name === name);
    return result === undefined ? [] : [result];
  });
}

async function printProfile(): Promise<void> {
  const machine = await machineRecord();
  const executors = chosenExecutors(options.executor);
  const parts: string[] = [];
  for (const step of cases) {
    const workload = await writeWorkload(step, threads);
    try {
      for (const executor of executors) {
        if (step.leaveOut?.test(ownName(executor))) continue;
        const repeats = Number(options.rounds ?? 5);
        parts.push(`## ${step.name}, batch ${step.batch}, ${executor}, ${threads} threads\n`);
        parts.push(await profileStep(executor, workload.config, repeats));
      }
    } finally {
      await workload.dispose();
    }
  }
  const text = document('Where the time of a step goes', machine, parts.join('\n'));
  console.log(text);
  if (!options['dry-run']) await saveText('profile', text);
}

/** The executor called `name`; by default both. Throws UnknownNameError. */
function chosenExecutors(name: string | undefined): readonly StepExecutorName[] {
  if (name === undefined) return ['native', 'wasm'];
  lookUp('executor', name, STEP_EXECUTORS);
  return [name as StepExecutorName];
}

/** The case called `name`; by default all. Throws UnknownNameError. */
function chosenCases(name: string | undefined): readonly StepCase[] {
  if (name === undefined) return STEP_CASES;
  return [lookUp('case', name, Object.fromEntries(STEP_CASES.map((step) => [step.name, step])))];
}
