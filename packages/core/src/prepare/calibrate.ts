/**
 * calibrate: the calibration images through the dense model, block by block, and the gradient of their loss
 * back through it. One block of weights is in memory at a time; the blocks' inputs wait on the host, in 8
 * bits (held.ts).
 *
 *   forward    images → x₀ → x₁ → … → features; keeps the inputs of the parts from the first measured one
 *   gradients  of a classifier fitted to the features (classifier.ts), through the tail
 *
 * Images come in batches of at most CALIBRATION_BATCH, whatever a pass of training has. Second moments are
 * taken over all of them; options of compressed inputs over the first batch, so that without `all` only that
 * batch's inputs are kept and go back, and the others only fit the classifier.
 *
 * What a part is measured for is the caller's: `backward` hands over each measured part, last first.
 */
import { DataError } from '../errors.js';
import type { HostData } from '../executors/executor.js';
import type { Graph } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';
import { checkLabels, type Batches } from '../train/batch.js';
import { backwardPart } from './backward.js';
import { featureGradients } from './classifier.js';
import type { Part } from './cut.js';
import { heldRowBytes, holdRows, rowsOf } from './held.js';
import { writeParameters, type Stage } from './stage.js';

/** Most images in one batch: a block's forward and backward pass is in memory for so many. */
export const CALIBRATION_BATCH = 16;
/** Most images that are worth their time. */
const MOST_IMAGES = 128;
/** Most bytes of block inputs on the host, unless one batch takes more. */
const MOST_BYTES = 32e6;

export interface CalibrationOptions {
  readonly stage: Stage;
  /** All parts of the model, in order. */
  readonly parts: readonly Part[];
  /** Index of the first part whose input is kept. */
  readonly first: number;
  /** True: every batch goes back, not only the first one. */
  readonly all: boolean;
  readonly batches: Batches;
  readonly classes: number;
  readonly read: (name: string) => HostData;
  readonly onPart: (part: Part, done: number, total: number) => void;
}

/** Calibration images after the forward pass. */
export interface Calibration {
  /** Whole batches. */
  readonly images: number;
  /** Inputs of part `index`, from `first` to the last block; they are let go. */
  take(index: number): Inputs;
  /** dL/dy of the last block for every batch that goes back. */
  readonly gradients: readonly HostData[];
}

/** The inputs of a part, by batch. */
export interface Inputs {
  readonly count: number;
  at(batch: number): HostData;
}

export const NO_INPUTS: Inputs = { count: 0, at: () => new Float32Array() };

/** Runs the calibration images forward and the tail backward. Throws DataError without a whole batch. */
export async function calibrate(options: CalibrationOptions): Promise<Calibration> {
  const { parts, first, all, classes, onPart } = options;
  const total = parts.length;
  const { labels, current } = await embed(options);
  onPart(parts[0], 1, total);
  const back = all ? current.length : 1;
  const kept = new Map<number, Inputs>();
  let last: readonly HostData[] = [];
  for (let index = 1; index < total; index++) {
    const { x } = parts[index];
    const inputs = current.slice(0, back);
    if (index >= first && index < total - 1) kept.set(index, heldInputs(inputs, x.type.shape));
    if (index === total - 1) last = inputs;
    await forwardPart(options, parts[index], current);
    onPart(parts[index], index + 1, total);
  }
  const gradients = classifierGradients(current, labels, classes);
  return {
    images: labels.length,
    take: (index) => {
      const inputs = kept.get(index) ?? NO_INPUTS;
      kept.delete(index);
      return inputs;
    },
    gradients: await backwardTail(options, last, gradients),
  };
}

/** How many batches are calibrated on. */
export function calibrationBatches(parts: readonly Part[], first: number): number {
  const [batch] = parts[0].x.type.shape;
  const bytes = parts.slice(first, -1).reduce((sum, { x: { type } }) => {
    const { shape } = type;
    return sum + heldRowBytes(elements(shape), shape[shape.length - 1]);
  }, 0);
  return Math.max(1, Math.floor(Math.min(MOST_IMAGES / batch, MOST_BYTES / bytes)));
}

/** Embeds the batches as they come, so that no image is kept. */
async function embed(options: CalibrationOptions): Promise<{
  readonly labels: readonly number[];
  readonly current: HostData[];
}> {
  const { stage, parts, first, batches, classes, read } = options;
  const [part] = parts;
  const batch = part.x.type.shape[0];
  const count = calibrationBatches(parts, first);
  const executor = await stage.load({ run: part.graph });
  writeParameters(stage, executor, part, read);
  const labels: number[] = [];
  const outputs: HostData[] = [];
  for await (const { images, labels: own, real } of batches) {
    if (real < batch) continue;
    checkLabels('calibration images', own, { rows: batch, real, classes });
    await stage.run(executor, 'run', { x: images });
    outputs.push(await stage.read(executor, 'run.y'));
    labels.push(...own);
    if (outputs.length === count) break;
  }
  if (outputs.length > 0) return { labels, current: outputs };
  throw new DataError({
    where: 'calibration images',
    expected: `at least one batch of ${String(batch)} images`,
    got: 'fewer',
    todo: 'Lower the batch, or add images',
    options: ['batch'],
  });
}

/** Runs a part on each of `current`, which its outputs replace. */
async function forwardPart(
  { stage, read }: CalibrationOptions,
  part: Part,
  current: HostData[],
): Promise<void> {
  const executor = await stage.load({ run: part.graph });
  writeParameters(stage, executor, part, read);
  for (const [index, x] of current.entries()) {
    await stage.run(executor, 'run', { x });
    current[index] = await stage.read(executor, 'run.y');
  }
}

/** dL/dfeatures by batch. */
function classifierGradients(
  features: readonly HostData[],
  labels: readonly number[],
  classes: number,
): readonly HostData[] {
  const rows = features[0].length;
  const all = new Float64Array(rows * features.length);
  features.forEach((batch, index) => {
    all.set(batch, index * rows);
  });
  const gradients = featureGradients(all, labels, classes);
  return features.map((_, index) =>
    Float32Array.from(gradients.subarray(index * rows, (index + 1) * rows)),
  );
}

async function backwardTail(
  { stage, parts, read }: CalibrationOptions,
  inputs: readonly HostData[],
  gradients: readonly HostData[],
): Promise<readonly HostData[]> {
  const part = parts[parts.length - 1];
  const executor = await stage.load({ run: backwardGraph(part) });
  writeParameters(stage, executor, part, read);
  const results: HostData[] = [];
  for (const [index, x] of inputs.entries()) {
    await stage.run(executor, 'run', { x, dy: gradients[index] });
    results.push(await stage.read(executor, 'run.dx'));
  }
  return results;
}

/** From `x` and `dy` to `dx`. */
export function backwardGraph(part: Part): Graph {
  const { graph, gradient } = backwardPart(part);
  return { ...graph, outputs: { dx: gradient(part.x).id } };
}

/** Inputs of a part in 8 bits. */
function heldInputs(inputs: readonly HostData[], shape: Shape): Inputs {
  const batches = inputs.map((data) => holdRows(data, shape[shape.length - 1]));
  return { count: batches.length, at: (batch) => rowsOf(batches[batch]) };
}
