/**
 * What the process needs beside the plan: an estimate, made when everything is loaded but the
 * executor.
 *
 *   resident   what the process has now: Node, modules, libvips, what compiling left
 *   rest       what comes on top, by what the process has done before (`REST`)
 *   batches    float32 images of one pass, one array for each that makes them
 *   images     what decoding the image that takes the most takes, for each that decodes
 *   tensors    the largest tensor on its way between file and executor, twice
 */
import { bytesOf, parameters, plannedBytes, type ModelGraph, type Program } from '@thimble/core';

export interface ProcessLoad {
  /** Bytes that the process has now. */
  readonly residentBytes: number;
  /** Side of an image, in pixels. */
  readonly imageSize: number;
  /** Threads that prepare images. */
  readonly workers: number;
  /** Bytes that decoding an image takes at most. */
  readonly imageBytes: number;
  readonly tensorBytes: number;
  /** True where steps run as WebAssembly. */
  readonly wasm: boolean;
}

/**
 * What comes on top of what is resident, measured.
 *
 *   training   in a process that has only compiled: collections of 8 MB that wait in two places,
 *              libvips at work, compiled JavaScript
 *   finding    while ranks are found: collections that wait
 *   prepared   in one that has found ranks: collections that wait, JavaScript of the training loop
 *   grown      what finding ranks leaves behind: compiled JavaScript, the heap, libvips
 */
export const REST = { training: 24e6, finding: 8e6, prepared: 14e6, grown: 18e6 } as const;

const WORKER_BYTES = 40e6;
/** Compiled WebAssembly, and threads that run it. */
const WASM_BYTES = 20e6;

/**
 * Bytes beside the plan with passes of `pass` images.
 *
 * @param rest of `REST`
 */
export function bytesBesidePlan(load: ProcessLoad, pass: number, rest: number): number {
  const { residentBytes, imageSize, workers, imageBytes, tensorBytes, wasm } = load;
  const makers = Math.max(1, workers);
  const batches = makers * pass * 3 * imageSize ** 2 * Float32Array.BYTES_PER_ELEMENT;
  return (
    residentBytes +
    rest +
    (wasm ? WASM_BYTES : 0) +
    workers * WORKER_BYTES +
    batches +
    makers * imageBytes +
    2 * tensorBytes
  );
}

/** The bytes of the whole process, and what is known of its needs. */
export interface MemoryRequest {
  readonly bytes: number;
  readonly workers: number;
  /** Bytes that decoding an image takes at most. */
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

/**
 * The most that an executor has: its plan, or, before that is used, its parameters while weights are
 * emitted beside it.
 */
export function executorBytes(program: Program, threads: number, emitting: number): number {
  const filled = program.slots.filter(({ role, root }, at) => role === 'parameter' && root === at);
  const parameterBytes = filled.reduce((sum, { bytes }) => sum + bytes, 0);
  return Math.max(plannedBytes(program, threads), parameterBytes + emitting);
}

/** Bytes of the model's largest parameter. */
export function largestTensor(model: ModelGraph): number {
  return Math.max(0, ...parameters(model.graph).map(({ type }) => bytesOf(type)));
}
