/**
 * What the process needs beside the plan: an estimate, made when everything is loaded but the
 * executor.
 *
 *   resident   what the process has now: Node, modules, libvips, what compiling left
 *   rest       what comes on top in any run: collections of 8 MB that wait in two places, libvips at
 *              work, compiled JavaScript
 *   batches    float32 images of one pass, one array for each that makes them
 *   images     the decoded image and libvips' own copy of it while it is decoded
 *   tensors    the largest tensor on its way between file and executor, twice
 */
import {
  bytesOf,
  compile,
  linears,
  memoryReport,
  parameters,
  type BoundMethod,
  type ModelGraph,
} from '@thimble/core';

export interface ProcessLoad {
  /** Bytes that the process has now. */
  readonly residentBytes: number;
  /** Side of an image, in pixels. */
  readonly imageSize: number;
  /** Threads that prepare images. */
  readonly workers: number;
  /** Bytes of the largest image as RGB; 0 where it is not known. */
  readonly imageBytes: number;
  readonly tensorBytes: number;
  /** True where steps run as WebAssembly. */
  readonly wasm: boolean;
}

const REST_BYTES = 24e6;
const WORKER_BYTES = 40e6;
/** Compiled WebAssembly, and threads that run it. */
const WASM_BYTES = 20e6;

/** Bytes beside the plan with passes of `pass` images. */
export function bytesBesidePlan(load: ProcessLoad, pass: number): number {
  const { residentBytes, imageSize, workers, imageBytes, tensorBytes, wasm } = load;
  const makers = Math.max(1, workers);
  const batches = makers * pass * 3 * imageSize ** 2 * Float32Array.BYTES_PER_ELEMENT;
  return (
    residentBytes +
    REST_BYTES +
    (wasm ? WASM_BYTES : 0) +
    workers * WORKER_BYTES +
    batches +
    makers * 2 * imageBytes +
    2 * tensorBytes
  );
}

/** The bytes of the whole process, and what is known of its needs. */
export interface MemoryRequest {
  readonly bytes: number;
  readonly workers: number;
  /** Of the largest image as RGB. */
  readonly imageBytes: number;
}

/** What is kept with a run of the memory that was asked for. */
export interface MemoryRecord {
  /** Bytes of --memory. */
  readonly budget: number;
  /** Those of the process beside the plan, as they were estimated. */
  readonly besidePlan: number;
  /** Of the best that was open. */
  readonly givenUp: readonly string[];
}

/** Images of one program while ranks are found. */
const CALIBRATION_BATCH = 16;
const CALIBRATION_IMAGES = 64;
/** What JavaScript keeps of the work behind it. */
const LEFT_BYTES = 16e6;

/** What finding ranks takes. */
export interface PreparationBytes {
  /** While they are found: beside a process that trains, without its plan. */
  readonly peak: number;
  /** What is left until training begins. */
  readonly left: number;
}

/**
 * While ranks are found: one block forward and backward for a batch of images, the inputs of all
 * blocks for the calibration images in 8 bits, those of one block in float32 with their gradients,
 * and moments, 2n(n + 1) bytes for a weight [O, I], n = min(O, I), which are left.
 *
 * @param build the dense model for a number of images
 * @param pass images of one pass in training
 */
export function preparationBytes(
  build: (images: number) => ModelGraph,
  method: BoundMethod,
  pass: number,
  threads: number,
): PreparationBytes {
  const { weights } = method.needs;
  const all = linears(build(1), 'all');
  const batch = Math.min(pass, CALIBRATION_BATCH);
  const data = weights?.truncation === 'data';
  const images = data ? CALIBRATION_IMAGES : batch;
  const inputs = build(1).blocks.map((prefix) => {
    const own = all.filter(({ weight }) => weight.startsWith(prefix));
    return images * Math.min(...own.map(({ x }) => bytesOf(x.type)));
  });
  const moments = !data
    ? []
    : all.map((linear) => {
        const side = Math.min(linear.outputs, linear.inputs);
        return 2 * side * (side + 1);
      });
  const left = LEFT_BYTES + sum(moments);
  const waiting = sum(inputs) / 4 + 2 * Math.max(0, ...inputs);
  return { peak: blockBytes(build, batch, threads) + waiting + left, left };
}

/** The largest block's saved tensors, and the widest moment of a step beside them. */
function blockBytes(model: (images: number) => ModelGraph, batch: number, threads: number): number {
  const program = compile({ model, saved: 'all', batch, evalBatch: 0 });
  const saved = program.slots.filter(({ role, root }, index) => role === 'saved' && root === index);
  const blocks = model(1).blocks.map((prefix) =>
    sum(saved.filter(({ name }) => name.startsWith(prefix)).map(({ bytes }) => bytes)),
  );
  return Math.max(0, ...blocks) + memoryReport(program, threads).transientBytes;
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

/** Bytes of the model's largest parameter. */
export function largestTensor(model: ModelGraph): number {
  return Math.max(0, ...parameters(model.graph).map(({ type }) => bytesOf(type)));
}
