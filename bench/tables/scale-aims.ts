/**
 * What training by factors is held against at the scale of a ViT-B/32, and for each aim that is missed what the
 * measurement says of it. Everything is computed from the results, so that no sentence outlives its numbers.
 */
import { megabytes, percent } from '../harness/table.js';
import type { ProcessResults } from '../process/measure.js';
import type { ScaleResult, ScaleResultRow } from '../scale/measure.js';
import type { ScaleResults } from '../scale/store.js';
import { rowNamed } from '../scale/table.js';
import { tableOfAims, times, type Aim } from './aims.js';

const OWN = 'wasi, smallest';
const FULL = 'full, smallest';
const SPEED = { 128: 3, 16: 2.5 } as const;
const SHARE_OF_TIME = 0.4;
const PROCESS_BYTES = 340e6;
const SMALL_PROCESS_BYTES = 120e6;
/** Of `npm run bench:process`. */
const SMALL_COURSE = 'ViT-Ti/16, 224 px, `wasi`';

/** The table and the sentences below it; '' without results. @param process null: not measured */
export function scaleAims({ results }: ScaleResults, process: ProcessResults | null): string {
  const of = (batch: number) => results.find((result) => result.batch === batch) ?? null;
  const [large, small] = [of(128), of(16)];
  const aims = [
    speedAim(large, 128),
    speedAim(small, 16),
    ...(large ? besideFull(large) : []),
    ...(process ? [smallProcess(process)] : []),
  ];
  const known = aims.flatMap((aim) => aim ?? []);
  if (known.length === 0) return '';
  const missed = [
    slowAt(small),
    shareOfWork(large),
    large && leastMemory(large),
    process && leastProcess(process),
  ];
  return [
    'Aims for `wasi` at ε = 0.8, as the command runs it (`--saved smallest`, momentum 0.9):\n',
    tableOfAims(known),
    ...missed.flatMap((text) => (text === null ? [] : [`${text}\n`])),
  ].join('\n');
}

function speedAim(result: ScaleResult | null, batch: keyof typeof SPEED): Aim | null {
  const row = result && rowNamed(result, OWN);
  if (!row) return null;
  const value = row.faster.pytorch?.median ?? null;
  return {
    what: `batch ${batch}: times as fast as PyTorch, fp32`,
    aim: SPEED[batch],
    show: times,
    value,
  };
}

function besideFull(result: ScaleResult): readonly Aim[] {
  const [own, full] = [rowNamed(result, OWN), rowNamed(result, FULL)];
  if (!own || !full) return [];
  const faster = own.faster.recomputed?.median ?? null;
  const what = `batch ${result.batch}`;
  return [
    {
      ...{ what: `${what}: time of that of \`full --saved smallest\``, aim: SHARE_OF_TIME },
      ...{ atMost: true, show: percent, value: faster && 1 / faster },
    },
    {
      ...{ what: `${what}: memory of that of \`full --saved smallest\``, aim: 1 },
      ...{ atMost: true, show: percent, value: own.rssPeakBytes / full.rssPeakBytes },
    },
    {
      ...{ what: `${what}: peak memory of the process`, aim: PROCESS_BYTES },
      ...{ atMost: true, show: megabytes, value: own.rssPeakBytes },
    },
  ];
}

function smallProcess({ courses }: ProcessResults): Aim | null {
  const peak = courses[SMALL_COURSE]?.parts.at(-1)?.peakBytes;
  if (peak === undefined) return null;
  const what = 'ViT-Ti/16, 224 px, batch 16: peak memory of the process';
  return { what, aim: SMALL_PROCESS_BYTES, atMost: true, show: megabytes, value: peak };
}

/** What the aim at batch 16 would take; null where it is met or not known. */
function slowAt(small: ScaleResult | null): string | null {
  const own = small && rowNamed(small, OWN);
  const full = small && rowNamed(small, 'full, exact');
  const flops = own && flopsOf(own);
  const faster = own?.faster.pytorch?.median ?? NaN;
  if (!small || !own || !full || !flops || !(faster < SPEED[16])) return null;
  const needed = (rateOf(own) * SPEED[16]) / faster;
  const others = small.rows.flatMap(({ name, faster: { pytorch: ratio } }) =>
    ratio && ratio.median >= SPEED[16] ? [`\`${name}\` ${times(ratio.median)}`] : [],
  );
  const reached =
    others.length > 0 ? `What reaches it: ${others.join(', ')}.` : 'No row reaches it.';
  return (
    `Speed at batch 16: a step is ${(flops / 1e9).toFixed(0)} GFLOP, recomputation included, and runs at ` +
    `${rateOf(own).toFixed(0)} GFLOP/s; the aim takes ${needed.toFixed(0)}, and \`full\` with its larger products ` +
    `has ${rateOf(full).toFixed(0)}. ${reached}`
  );
}

/** Why time is a larger share than aimed at; null where it is not, or not known. */
function shareOfWork(large: ScaleResult | null): string | null {
  const own = large && rowNamed(large, OWN);
  const full = large && rowNamed(large, FULL);
  const [flops, all] = [own && flopsOf(own), full && flopsOf(full)];
  const faster = own?.faster.recomputed?.median ?? NaN;
  if (!own || !full || !flops || !all || !(1 / faster > SHARE_OF_TIME)) return null;
  return (
    `Time beside \`full --saved smallest\`: the step has ${percent(flops / all)} of its GFLOP and runs at ` +
    `${rateOf(own).toFixed(0)} GFLOP/s where \`full\` has ${rateOf(full).toFixed(0)}: factors are narrower products.`
  );
}

/** What a run cannot be without. */
function leastMemory(large: ScaleResult): string | null {
  const own = rowNamed(large, OWN);
  const eight = rowNamed(large, `${OWN}, 8-bit momentum`);
  const parameters = own && numberOf(own, 'parameters');
  const planned = own && numberOf(own, 'plannedBytes');
  if (!own || !eight || !parameters || !planned || own.rssPeakBytes <= PROCESS_BYTES) return null;
  const [weights, momentum] = [4 * parameters, 4 * parameters];
  return (
    `Memory of the process: weights in factors take ${megabytes(weights)} and their momentum as much, ` +
    `${megabytes(weights + momentum)} together; gradients, saved tensors and what is transient ` +
    `${megabytes(planned - weights - momentum)}; Node, the library and images ` +
    `${megabytes(own.rssPeakBytes - planned)}. With momentum in 8 bits the process has ${megabytes(eight.rssPeakBytes)}.`
  );
}

function leastProcess({ loaded, courses }: ProcessResults): string | null {
  const course = courses[SMALL_COURSE];
  const peak = course?.parts.at(-1)?.peakBytes ?? 0;
  const command = loaded.at(-1)?.bytes;
  if (!course || command === undefined || peak <= SMALL_PROCESS_BYTES) return null;
  return (
    `ViT-Ti at 224 px: Node, the library and the image decoder take ${megabytes(command)} before anything is read, ` +
    `the plan ${megabytes(course.plannedBytes)}; the rest is what finding ranks and decoding leave in the heap.`
  );
}

/** GFLOP/s. */
function rateOf(row: ScaleResultRow): number {
  return (flopsOf(row) ?? NaN) / row.ms.median / 1e6;
}

function flopsOf(row: ScaleResultRow): number | null {
  return numberOf(row, 'flopsPerStep');
}

function numberOf({ ready }: ScaleResultRow, key: string): number | null {
  const value = ready[key];
  return typeof value === 'number' ? value : null;
}
