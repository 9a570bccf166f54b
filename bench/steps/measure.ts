/**
 * One case of the step benchmark: start every contestant, check that all compute the same, then
 * time them in rounds.
 */
import type { ExecutorKind } from '@thimble/core';
import { fileURLToPath } from 'node:url';
import { JsonProcess, numberIn, numbersIn } from '../harness/json-process.js';
import type { RanSteps } from '../harness/json-answers.js';
import { THIMBLE_FLAGS } from '../harness/thimble-flags.js';
import { interleave } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds, type Spread } from '../harness/statistics.js';
import { PEERS } from '../peers/index.js';
import type { Peer } from '../peers/peer.js';
import type { StepCase } from './cases.js';
import type { Ready, StepConfig } from './protocol.js';
import { STEP_EXECUTORS } from './trainer.js';
import { writeWorkload } from './workload.js';

/** Steps whose losses are compared before anything is timed. */
const CHECKED_STEPS = 5;
/**
 * Losses of two implementations may differ by this share: fp32 sums in another order, five steps.
 */
const LOSS_TOLERANCE = 1e-3;
/** OpenMP's threads spin for up to 200 ms after their last work. */
const SETTLE_MS = 250;

export interface CaseResult {
  readonly name: string;
  readonly batch: number;
  readonly threads: number;
  readonly rounds: number;
  readonly stepsPerTurn: number;
  /** Losses of the first steps, by the first contestant. */
  readonly losses: readonly number[];
  readonly rows: readonly StepRow[];
}

/** One contestant's part of a result. */
export type StepRow =
  | { readonly name: string; readonly missing: string }
  | {
      readonly name: string;
      readonly ready: Ready;
      readonly losses: readonly number[];
      /** Milliseconds of each step, by round. */
      readonly samples: Rounds;
      readonly ms: Spread;
      /** Time as a multiple of the yardstick's, within each round. */
      readonly ratio: Spread;
      /** Name of the yardstick: the first peer that runs, else the first contestant. */
      readonly ratioTo: string;
      readonly rssPeakBytes: number;
    };

/** A contestant that is running. */
interface Live {
  readonly name: string;
  readonly process: JsonProcess;
  readonly ready: Ready;
  readonly losses: readonly number[];
  rssPeakBytes: number;
}

/** Measures one case. Throws Error when a contestant fails or computes something else. */
export async function measureCase(
  step: StepCase,
  { threads, rounds }: { readonly threads: number; readonly rounds: number },
): Promise<CaseResult> {
  const workload = await writeWorkload(step, threads);
  const live: Live[] = [];
  const missing: StepRow[] = [];
  try {
    for (const contestant of contestants()) {
      const command = await contestant.command();
      if (typeof command === 'string') missing.push({ name: contestant.name, missing: command });
      else live.push(await start(contestant.name, command, workload.config));
    }
    checkLosses(live);
    const samples = await interleave(
      live.map((one) => ({ name: one.name, measure: () => turn(one, step.stepsPerTurn) })),
      { rounds, settleMs: SETTLE_MS },
    );
    const { name, batch, stepsPerTurn } = step;
    const losses = live[0]?.losses ?? [];
    const rows = [...rowsOf(live, samples), ...missing];
    return { name, batch, threads, rounds, stepsPerTurn, losses, rows };
  } finally {
    await Promise.all(live.map((one) => one.process.close()));
    await workload.dispose();
  }
}

function contestants(): readonly Peer[] {
  const script = fileURLToPath(new URL('./contestant.js', import.meta.url));
  const own = Object.entries<ExecutorKind>(STEP_EXECUTORS).map(([name, kind]) => ({
    name: `thimble ${name}`,
    command: async () =>
      (await kind.unavailable()) ?? {
        file: process.execPath,
        args: [...THIMBLE_FLAGS, script, name],
      },
  }));
  return [...own, ...PEERS];
}

async function start(
  name: string,
  command: ConstructorParameters<typeof JsonProcess>[1],
  config: StepConfig,
): Promise<Live> {
  const process = new JsonProcess(name, command);
  try {
    const answer = await process.ask(config);
    const ready = readyOf(answer);
    const { loss, rssPeakBytes } = await run(process, CHECKED_STEPS);
    return { name, process, ready, losses: loss, rssPeakBytes };
  } catch (error) {
    await process.close();
    throw error;
  }
}

async function turn(one: Live, steps: number): Promise<readonly number[]> {
  const { ms, rssPeakBytes } = await run(one.process, steps);
  one.rssPeakBytes = rssPeakBytes;
  return ms;
}

async function run(process: JsonProcess, steps: number): Promise<RanSteps> {
  const answer = await process.ask({ run: steps });
  return {
    ms: numbersIn(answer, 'ms'),
    loss: numbersIn(answer, 'loss'),
    rssPeakBytes: numberIn(answer, 'rssPeakBytes'),
  };
}

function readyOf(answer: Readonly<Record<string, unknown>>): Ready {
  const optional = (['plannedBytes', 'arenaBytes', 'flopsPerStep'] as const)
    .filter((key) => answer[key] !== undefined)
    .map((key) => [key, numberIn(answer, key)] as const);
  return {
    version: String(answer['version']),
    threads: numberIn(answer, 'threads'),
    parameters: numberIn(answer, 'parameters'),
    ...Object.fromEntries(optional),
  };
}

/** Same parameters, same losses, and losses that fall: nobody computes less than the others. */
function checkLosses(live: readonly Live[]): void {
  const [first] = live;
  for (const { name, ready, losses } of live) {
    const { parameters } = first.ready;
    if (ready.parameters !== parameters) {
      throw new Error(`${name} has ${ready.parameters} parameters, ${first.name} ${parameters}`);
    }
    const agree = losses.every((loss, i) => {
      const difference = Math.abs(loss - first.losses[i]);
      return difference <= LOSS_TOLERANCE * Math.abs(first.losses[i]);
    });
    if (!agree || !(losses[losses.length - 1] < losses[0])) {
      throw new Error(
        `losses of ${name}: expected ${first.losses.join(', ')} (${first.name}), within ` +
          `${LOSS_TOLERANCE} and falling, got ${losses.join(', ')}`,
      );
    }
  }
}

function rowsOf(live: readonly Live[], samples: ReadonlyMap<string, Rounds>): StepRow[] {
  const yardstick = PEERS.find(({ name }) => samples.has(name))?.name ?? live[0].name;
  const base = samples.get(yardstick) ?? [];
  return live.map(({ name, ready, losses, rssPeakBytes }) => {
    const own = samples.get(name) ?? [];
    return {
      name,
      ready,
      losses,
      samples: own,
      ms: spread(own.flat()),
      ratio: pairedRatio(own, base),
      ratioTo: yardstick,
      rssPeakBytes,
    };
  });
}
