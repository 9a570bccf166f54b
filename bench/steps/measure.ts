/**
 * One case of the step benchmark: start every contestant, check that all compute the same, then
 * time them in rounds.
 */
import type { PeakMeter } from '@thimble/core';
import { native } from '@thimble/native';
import { JsonProcess, numberIn, numbersIn, type Command } from '../harness/json-process.js';
import type { RanSteps } from '../harness/json-answers.js';
import { countStealTime, machineRecord, type MachineRecord } from '../harness/machine.js';
import { interleave } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds, type Spread } from '../harness/statistics.js';
import { PEERS } from '../peers/index.js';
import type { StepCase } from './cases.js';
import { stepContestants, type StepContestant } from './contestants.js';
import type { Ready, AnyStepConfig } from '../harness/step-protocol.js';
import { writeWorkload } from './workload.js';

/**
 * Losses of two implementations may differ by this share: fp32 sums in another order, five steps.
 */
const LOSS_TOLERANCE = 1e-3;
/** OpenMP's threads spin for up to 200 ms after their last work. */
const SETTLE_MS = 250;

const PEAK = 'FMA peak';
const PEAK_SAMPLES = 9;

/** Longest reason of a peer that a table shows. */
const SHOWN_CHARACTERS = 160;

export interface CaseResult {
  readonly name: string;
  readonly batch: number;
  readonly threads: number;
  readonly rounds: number;
  readonly stepsPerTurn: number;
  /** Losses of the first steps, by the first contestant. */
  readonly losses: readonly number[];
  readonly rows: readonly StepRow[];
  /** GFLOP/s of independent multiply-adds on as many native threads, by round; null without. */
  readonly peak: Rounds | null;
  /** Cases may be measured one by one. */
  readonly machine: MachineRecord;
}

/** One contestant's part of a result. */
export type StepRow =
  | { readonly name: string; readonly missing: string }
  | {
      readonly name: string;
      readonly ready: Ready;
      readonly losses: readonly number[];
      /** Milliseconds of each step, by round; none in a round that it sat out. */
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
  readonly contestant: StepContestant;
  readonly process: JsonProcess;
  readonly ready: Ready;
  readonly losses: readonly number[];
  rssPeakBytes: number;
}

export interface MeasureOptions {
  readonly threads: number;
  readonly rounds: number;
  /** Names of the contestants that take part. */
  readonly only: RegExp;
}

/** Measures one case. Throws Error when a contestant computes something else or ours fails. */
export async function measureCase(
  step: StepCase,
  { threads, rounds, only }: MeasureOptions,
): Promise<CaseResult> {
  const before = await machineRecord();
  const stolenShare = countStealTime();
  const workload = await writeWorkload(step, threads);
  const { name, batch, stepsPerTurn, leaveOut, checkedSteps } = step;
  const limits = { rounds, stepsPerTurn, ...(checkedSteps && { checkedSteps }) };
  const live: Live[] = [];
  const missing: StepRow[] = [];
  const meter = (await native.unavailable()) === null ? await native.peaks({ threads }) : null;
  try {
    for (const contestant of stepContestants(threads, limits)) {
      if (!only.test(contestant.name) || leaveOut?.test(contestant.name)) continue;
      console.error(`${name}: starting ${contestant.name}`);
      const started = await start(contestant, workload.config);
      if (typeof started === 'string') missing.push({ name: contestant.name, missing: started });
      else live.push(started);
    }
    checkLosses(live);
    const timed = live.map((one) => ({
      ...{ name: one.name, rounds: one.contestant.rounds },
      measure: () => turn(one),
    }));
    const peaks = meter ? [{ name: PEAK, measure: () => peakSamples(meter) }] : [];
    const samples = await interleave([...peaks, ...timed], { rounds, settleMs: SETTLE_MS });
    const losses = live[0]?.losses ?? [];
    const rows = [...rowsOf(live, samples), ...missing];
    const peak = samples.get(PEAK) ?? null;
    const machine = { ...before, stolenShare: stolenShare() };
    return { name, batch, threads, rounds, stepsPerTurn, losses, rows, peak, machine };
  } finally {
    await meter?.dispose();
    await Promise.all(live.map((one) => one.process.close()));
    await workload.dispose();
  }
}

/** GFLOP/s; several, since one takes a fiftieth of a second. */
async function peakSamples(meter: PeakMeter): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let turn = 0; turn < PEAK_SAMPLES; turn++) samples.push((await meter.flops()) / 1e9);
  return samples;
}

/** The contestant after its first steps, or why it cannot take part. */
async function start(contestant: StepContestant, config: AnyStepConfig): Promise<Live | string> {
  const command = await contestant.command();
  if (typeof command === 'string') return command;
  try {
    return await firstSteps(contestant, command, { ...config, threads: contestant.threads });
  } catch (error) {
    if (contestant.peer === null) throw error;
    return String(error).split('\n')[0].slice(0, SHOWN_CHARACTERS);
  }
}

async function firstSteps(
  contestant: StepContestant,
  command: Command,
  config: AnyStepConfig,
): Promise<Live> {
  const { name, checkedSteps } = contestant;
  const process = new JsonProcess(name, command);
  try {
    const answer = await process.ask(config);
    const ready = readyOf(answer);
    const { loss, rssPeakBytes } = await run(process, checkedSteps);
    return { name, contestant, process, ready, losses: loss, rssPeakBytes };
  } catch (error) {
    await process.close();
    throw error;
  }
}

async function turn(one: Live): Promise<readonly number[]> {
  const { ms, rssPeakBytes } = await run(one.process, one.contestant.stepsPerTurn);
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
