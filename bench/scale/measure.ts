/** One case of the scale benchmark: start the contestants of a group, check them, time them in rounds. */
import type { MachineRecord } from '../harness/machine.js';
import { JsonProcess, numberIn, numbersIn } from '../harness/json-process.js';
import { interleave } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds, type Spread } from '../harness/statistics.js';
import { Agreement, DisagreementError } from './agreement.js';
import { YARDSTICKS, type ScaleCase, type ScaleRow } from './cases.js';
import { contestantOf, ownContestant, type Contestant, type Setting } from './contestants.js';

/** OpenMP's threads spin for up to 200 ms after their last work. */
const SETTLE_MS = 250;

export interface ScaleResult {
  readonly machine: MachineRecord;
  readonly batch: number;
  readonly threads: number;
  readonly rounds: number;
  readonly photos: string;
  /** Finding ranks on the photos and factoring, as `train` does before it trains. */
  readonly preparing: { readonly seconds: number; readonly rssPeakBytes: number };
  readonly rows: readonly ScaleResultRow[];
  /** Rows that could not run. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

export interface ScaleResultRow {
  readonly name: string;
  readonly isPeer: boolean;
  /** What the contestant said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** Losses of the first steps. */
  readonly losses: readonly number[];
  /** Of the process; of a method that prepares, of preparing where that takes more. */
  readonly rssPeakBytes: number;
  readonly ms: Spread;
  /** The yardstick's time as a multiple of this row's, within each round; null: it did not run. */
  readonly faster: Readonly<Record<keyof typeof YARDSTICKS, Spread | null>>;
}

type Finished = Pick<ScaleResultRow, 'name' | 'isPeer' | 'ready' | 'losses' | 'rssPeakBytes'>;

interface Live extends Finished {
  readonly process: JsonProcess;
  rssPeakBytes: number;
}

interface Case extends Setting {
  readonly machine: MachineRecord;
  readonly rounds: number;
  readonly one: ScaleCase;
  readonly checkedSteps: number;
  readonly agreement: Agreement;
}

export type ScaleOptions = Setting & Pick<Case, 'machine' | 'rounds'>;

export async function measureScale(one: ScaleCase, options: ScaleOptions): Promise<ScaleResult> {
  const { machine, batch, threads, rounds, workload } = options;
  const { checkedSteps, groups } = one;
  const context: Case = { ...options, one, checkedSteps, agreement: new Agreement() };
  const preparing = await measurePreparing(context);
  const skipped = new Map<string, string>();
  const measured: Measured[] = [];
  for (const [index, rows] of groups.entries()) {
    console.log(`${minutes()} batch ${batch}, group ${index + 1} of ${groups.length}`);
    measured.push(await measureGroup(rows, context, skipped));
  }
  return {
    ...{ machine, batch, threads, rounds, photos: workload.photos, preparing },
    rows: joined(measured, preparing.rssPeakBytes),
    skipped: [...skipped].map(([name, reason]) => ({ name, reason })),
  };
}

async function measurePreparing(context: Case): Promise<ScaleResult['preparing']> {
  const row = { name: 'preparing', config: { method: 'wasi', ranks: 'found' } } as const;
  const live = await start(ownContestant(row, context), { ...context, checkedSteps: 0 });
  await live.process.close();
  return {
    seconds: numberIn(live.ready, 'prepareSeconds'),
    rssPeakBytes: numberIn(live.ready, 'preparePeakBytes'),
  };
}

/** What came of a group. */
export interface Measured {
  readonly live: readonly Finished[];
  readonly samples: ReadonlyMap<string, Rounds>;
  readonly rounds: number;
}

async function measureGroup(
  rows: readonly ScaleRow[],
  context: Case,
  skipped: Map<string, string>,
): Promise<Measured> {
  const live: Live[] = [];
  try {
    for (const row of rows) {
      const contestant = skipped.get(row.name) ?? (await contestantOf(row, context));
      const started =
        typeof contestant === 'string' ? contestant : await startOrSay(contestant, context);
      if (typeof started !== 'string') live.push(started);
      else {
        console.log(`${row.name}: skipped, ${started}`);
        skipped.set(row.name, started);
      }
    }
    const { rounds, one } = context;
    const contestants = live.map((own) => ({
      name: own.name,
      measure: () => trainOnce(own),
      ...(one.once?.test(own.name) ? { rounds: 1 } : {}),
    }));
    return {
      live,
      samples: await interleave(contestants, { rounds, settleMs: SETTLE_MS }),
      rounds,
    };
  } finally {
    await Promise.all(live.map(({ process }) => process.close()));
  }
}

/** A peer that cannot run says why; one of ours that cannot is an error, and so is one that computes another loss. */
async function startOrSay(contestant: Contestant, context: Case): Promise<Live | string> {
  try {
    return await start(contestant, context);
  } catch (error) {
    if (contestant.isPeer && !(error instanceof DisagreementError)) return String(error);
    throw error;
  }
}

async function start(contestant: Contestant, context: Case): Promise<Live> {
  const { checked, isPeer, command, config } = contestant;
  const { name } = checked;
  console.log(`${minutes()} starting ${name}`);
  const process = new JsonProcess(name, command);
  try {
    const ready = await process.ask(config);
    const { checkedSteps, agreement } = context;
    if (checkedSteps === 0) return { name, isPeer, process, ready, losses: [], rssPeakBytes: 0 };
    const answer = await process.ask({ run: checkedSteps });
    const losses = numbersIn(answer, 'loss');
    agreement.check(checked, losses);
    return { name, isPeer, process, ready, losses, rssPeakBytes: numberIn(answer, 'rssPeakBytes') };
  } catch (error) {
    await process.close();
    throw error;
  }
}

async function trainOnce(row: Live): Promise<readonly number[]> {
  const answer = await row.process.ask({ run: 1 });
  row.rssPeakBytes = numberIn(answer, 'rssPeakBytes');
  const ms = numbersIn(answer, 'ms');
  console.log(`${minutes()} ${row.name}: ${ms.map((each) => each.toFixed(0)).join(', ')} ms`);
  return ms;
}

/**
 * Every contestant once, its rounds those of all groups: it sat out those of others.
 *
 * @param preparingBytes peak while ranks are found, for methods that have some
 */
export function joined(
  groups: readonly Measured[],
  preparingBytes: number,
): readonly ScaleResultRow[] {
  const names = [...new Set(groups.flatMap(({ live }) => live.map(({ name }) => name)))];
  const samples = new Map<string, Rounds>(
    names.map((name) => [
      name,
      groups.flatMap((group) => group.samples.get(name) ?? Array<number[]>(group.rounds).fill([])),
    ]),
  );
  return names.map((name): ScaleResultRow => {
    const all = groups.flatMap(({ live }) => live.filter((row) => row.name === name));
    const [{ isPeer, ready, losses }] = all;
    const own = samples.get(name) ?? [];
    const beside = (yardstick: string) => {
      const other = samples.get(yardstick);
      return other ? pairedRatio(other, own) : null;
    };
    const prepares = typeof ready['rankShare'] === 'number' || Number(ready['compressed'] ?? 0) > 0;
    const peaks = all.map(({ rssPeakBytes }) => rssPeakBytes);
    return {
      ...{ name, isPeer, ready, losses },
      rssPeakBytes: Math.max(...peaks, prepares ? preparingBytes : 0),
      ms: spread(own.flat()),
      faster: {
        pytorch: beside(YARDSTICKS.pytorch),
        bf16: beside(YARDSTICKS.bf16),
        recomputed: beside(YARDSTICKS.recomputed),
      },
    };
  });
}

/** Of this process. */
function minutes(): string {
  return `[${(performance.now() / 60_000).toFixed(1)} min]`;
}
