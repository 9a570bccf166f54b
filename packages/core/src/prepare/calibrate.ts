/**
 * calibrate: the calibration images through the dense model, block by block, and the gradient of their loss
 * back through it. One block of weights is in memory at a time; the blocks' inputs wait on the host, in 16
 * bits (bfloat16: second moments do not feel a relative error of 2⁻⁹).
 *
 *   forward    images → x₀ → x₁ → … → features; keeps the inputs of the parts from the first measured one
 *   gradients  of a classifier fitted to the features (classifier.ts), through the tail
 *
 * What a part is measured for is the caller's: `backward` hands over each measured part, last first.
 */
import { backpropagate } from '../autodiff.js';
import { DataError } from '../errors.js';
import type { HostData } from '../executors/executor.js';
import type { Graph } from '../ir/graph.js';
import { elements } from '../ir/types.js';
import { GraphBuilder } from '../ops/builder.js';
import type { Batches } from '../train/evaluate.js';
import { featureGradients } from './classifier.js';
import type { Part } from './cut.js';
import { writeParameters, type Stage } from './stage.js';

/** Most images that are worth their time. */
const MOST_IMAGES = 128;
/** Most bytes of block inputs on the host, unless one batch takes more. */
const MOST_BYTES = 128e6;

export interface CalibrationOptions {
  readonly stage: Stage;
  /** All parts of the model, in order. */
  readonly parts: readonly Part[];
  /** Index of the first part whose input is kept. */
  readonly first: number;
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
  /** dL/dy of the last block for every batch. */
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
  const { parts, first, classes, onPart } = options;
  const total = parts.length;
  const { labels, current: embedded } = await embed(options);
  onPart(parts[0], 1, total);
  const kept = new Map<number, Inputs>();
  let [current, last] = [embedded, embedded];
  for (let index = 1; index < total; index++) {
    if (index >= first && index < total - 1) kept.set(index, halved(current));
    if (index === total - 1) last = current;
    current = await forwardPart(options, parts[index], current);
    onPart(parts[index], index + 1, total);
  }
  const gradients = classifierGradients(current, labels, classes);
  const tail = await backwardTail(options, last, gradients);
  return {
    images: labels.length,
    take: (index) => {
      const inputs = kept.get(index) ?? NO_INPUTS;
      kept.delete(index);
      return inputs;
    },
    gradients: tail,
  };
}

/** How many batches of the pass's size are calibrated on. */
export function calibrationBatches(parts: readonly Part[], first: number, batch: number): number {
  const blocks = parts.slice(first, -1);
  const bytes = blocks.reduce((sum, { x }) => sum + 2 * elements(x.type.shape), 0);
  const most = Math.min(MOST_IMAGES / batch, MOST_BYTES / bytes);
  return Math.max(1, Math.floor(most));
}

/** Embeds the batches as they come, so that no image is kept. */
async function embed({ stage, parts, first, batches, read }: CalibrationOptions): Promise<{
  readonly labels: readonly number[];
  readonly current: readonly HostData[];
}> {
  const [part] = parts;
  const batch = part.x.type.shape[0];
  const count = calibrationBatches(parts, first, batch);
  const executor = await stage.load({ run: part.graph });
  writeParameters(executor, part, read);
  const labels: number[] = [];
  const outputs: HostData[] = [];
  for await (const { images, labels: own, real } of batches) {
    if (real < batch) continue;
    await stage.run(executor, 'run', { x: images });
    outputs.push(await executor.read('run.y'));
    labels.push(...own);
    if (outputs.length === count) break;
  }
  if (outputs.length > 0) return { labels, current: outputs };
  throw new DataError({
    where: 'calibration images',
    expected: `at least one batch of ${String(batch)} images`,
    got: 'fewer',
    todo: 'Lower --batch, or add images',
  });
}

async function forwardPart(
  { stage, read }: CalibrationOptions,
  part: Part,
  inputs: readonly HostData[],
): Promise<readonly HostData[]> {
  const executor = await stage.load({ run: part.graph });
  writeParameters(executor, part, read);
  const outputs: HostData[] = [];
  for (const x of inputs) {
    await stage.run(executor, 'run', { x });
    outputs.push(await executor.read('run.y'));
  }
  return outputs;
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
  writeParameters(executor, part, read);
  const results: HostData[] = [];
  for (const [index, x] of inputs.entries()) {
    await stage.run(executor, 'run', { x, dy: gradients[index] });
    results.push(await executor.read('run.dx'));
  }
  return results;
}

/** From `x` and `dy` to `dx`. */
function backwardGraph(part: Part): Graph {
  const builder = new GraphBuilder(part.graph);
  const dy = builder.input('dy', part.y.type);
  const { graph, gradients } = backpropagate(
    builder.build({}),
    [{ of: part.y, seed: dy }],
    [part.x],
  );
  return { ...graph, outputs: { dx: gradients.get(part.x.id) ?? -1 } };
}

/** Inputs kept in 16 bits. */
function halved(inputs: readonly HostData[]): Inputs {
  const batches = inputs.map(toHalf);
  return { count: batches.length, at: (batch) => fromHalf(batches[batch]) };
}

/** bfloat16, rounded to nearest. */
function toHalf(data: HostData): Uint16Array {
  const bits = new Uint32Array(Float32Array.from(data).buffer);
  return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

function fromHalf(data: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(data, (half) => half << 16).buffer);
}
