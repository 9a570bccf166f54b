/** Who takes part in the step benchmark: Thimble's executors and the peers. */
import type { ExecutorKind } from '@thimble/core';
import { fileURLToPath } from 'node:url';
import type { Command } from '../harness/json-process.js';
import { THIMBLE_FLAGS } from '../harness/thimble-flags.js';
import { PEERS } from '../peers/index.js';
import { STEP_EXECUTORS, type StepExecutorName } from './trainer.js';

export interface StepContestant {
  readonly name: string;
  /** null: one of ours, whose failure ends the benchmark. */
  readonly peer: string | null;
  readonly threads: number;
  /** Steps whose losses are compared before anything is timed. */
  readonly checkedSteps: number;
  /** At most so many rounds and steps of a turn. */
  readonly rounds: number;
  readonly stepsPerTurn: number;
  command(): Promise<Command | string>;
}

const CHECKED_STEPS = 5;

/** What a peer gets whose step takes ten seconds and more: enough for three ratios. */
const SLOW = { checkedSteps: 2, rounds: 3, stepsPerTurn: 1 } as const;

/** Our row that a peer of the same means, or fewer threads of ours, are compared with. */
export function ownName(means: StepExecutorName): string {
  return `thimble ${means}`;
}

/** Our row on one thread. */
export function oneThreadName(means: StepExecutorName): string {
  return `${ownName(means)}, 1 thread`;
}

/** All contestants; our executors also on one thread. */
export function stepContestants(
  threads: number,
  {
    checkedSteps = CHECKED_STEPS,
    ...limits
  }: { readonly rounds: number; readonly stepsPerTurn: number; readonly checkedSteps?: number },
): readonly StepContestant[] {
  const most = { checkedSteps, ...limits };
  const own = executors().flatMap(([means, command]) => {
    const one = { peer: null, threads: 1, ...most, command };
    const all = { ...one, threads, name: ownName(means) };
    return threads > 1 ? [all, { ...one, name: oneThreadName(means) }] : [all];
  });
  const peers = PEERS.map(({ name, slow, command }) => ({
    ...{ name, peer: name, threads, command },
    ...(slow === true ? { ...SLOW, rounds: Math.min(SLOW.rounds, limits.rounds) } : most),
  }));
  return [...own, ...peers];
}

function executors(): readonly (readonly [StepExecutorName, StepContestant['command']])[] {
  const script = fileURLToPath(new URL('./contestant.js', import.meta.url));
  const kinds: { readonly [K in StepExecutorName]: ExecutorKind } = STEP_EXECUTORS;
  return (['native', 'wasm'] as const).map((name) => [
    name,
    async () =>
      (await kinds[name].unavailable()) ?? {
        file: process.execPath,
        args: [...THIMBLE_FLAGS, script, name],
      },
  ]);
}
