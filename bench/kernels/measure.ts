/**
 * One kernel on every contestant: checked, then timed in rounds together with the limits of each.
 *
 * A turn is one `run` of a program that applies the op many times (some tens of milliseconds),
 * divided by their number: so calling costs nothing, barriers between steps are included as in
 * training, and inputs come from the cache as far as they fit, as they often do in training.
 */
import { interleave, type Contestant } from '../harness/rounds.js';
import { pairedRatio, spread, type Rounds, type Spread } from '../harness/statistics.js';
import { kernelProgram, workOf, type KernelCase } from './cases.js';
import {
  checkOutputs,
  expectedOutputs,
  inputsOf,
  writeInputs,
  type KernelContestant,
} from './contestants.js';

/** A turn of the native kernels on one thread takes about this long; the others more. */
const TURN_SECONDS = 0.02;
/** Rates of the fastest machine in mind; they only decide how often the op is repeated. */
const ASSUMED_FLOPS = 150e9;
const ASSUMED_BYTES = 30e9;

export interface KernelResult {
  readonly name: string;
  readonly unit: 'GFLOP/s' | 'GB/s';
  readonly cells: readonly KernelCell[];
}

/** One contestant's speed. */
export interface KernelCell {
  readonly contestant: string;
  readonly threads: number;
  /** In the result's unit. */
  readonly rate: Spread;
  /** Rate as a share of the limit with as many threads, within each round. */
  readonly shareOfPeak: Spread;
  /** Rate as a multiple of one thread's, within each round; absent for one thread. */
  readonly speedup?: Spread;
  readonly samples: Rounds;
  readonly peakSamples: Rounds;
}

/** Measures one case. Throws Error when a result is wrong. */
export async function measureKernel(
  item: KernelCase,
  contestants: readonly KernelContestant[],
  rounds: number,
): Promise<KernelResult> {
  const { flops, bytes } = workOf(item);
  const arithmetic = item.bound === 'arithmetic';
  const work = arithmetic ? flops : bytes;
  const seconds = arithmetic ? flops / ASSUMED_FLOPS : bytes / ASSUMED_BYTES;
  const repeats = Math.max(1, Math.ceil(TURN_SECONDS / seconds));
  const program = kernelProgram(item, repeats);
  const expected = await expectedOutputs(item);
  const inputs = inputsOf(item);
  const executors = await Promise.all(contestants.map(({ load }) => load(program)));
  try {
    const turns: Contestant[] = [];
    for (const [index, contestant] of contestants.entries()) {
      const executor = executors[index];
      writeInputs(executor, inputs);
      await executor.run('run');
      await checkOutputs(executor, item, expected);
      turns.push({
        name: keyOf(contestant),
        measure: async () => {
          writeInputs(executor, inputs);
          const started = performance.now();
          await executor.run('run');
          return [(repeats * work) / (performance.now() - started) / 1e6];
        },
      });
      turns.push({ name: peakKeyOf(contestant), measure: () => limit(contestant, item, bytes) });
    }
    const samples = await interleave(turns, { rounds });
    const cells = contestants.map((contestant) => cellOf(contestant, samples));
    return { name: item.name, unit: arithmetic ? 'GFLOP/s' : 'GB/s', cells };
  } finally {
    await Promise.all(executors.map((executor) => executor.dispose()));
  }
}

/** The contestant's limit, in billions per second. */
async function limit(
  { peak }: KernelContestant,
  { bound }: KernelCase,
  bytes: number,
): Promise<readonly number[]> {
  const perSecond = bound === 'arithmetic' ? await peak.flops() : await peak.copy(bytes);
  return [perSecond / 1e9];
}

function cellOf(contestant: KernelContestant, samples: ReadonlyMap<string, Rounds>): KernelCell {
  const own = samples.get(keyOf(contestant)) ?? [];
  const peaks = samples.get(peakKeyOf(contestant)) ?? [];
  const single = samples.get(keyOf({ ...contestant, threads: 1 })) ?? [];
  const { name, threads } = contestant;
  return {
    contestant: name,
    threads,
    rate: spread(own.flat()),
    shareOfPeak: pairedRatio(own, peaks),
    ...(threads > 1 && { speedup: pairedRatio(own, single) }),
    samples: own,
    peakSamples: peaks,
  };
}

function keyOf({ name, threads }: KernelContestant): string {
  return `${name}, ${threads} thread${threads > 1 ? 's' : ''}`;
}

function peakKeyOf(contestant: KernelContestant): string {
  return `peak of ${keyOf(contestant)}`;
}
