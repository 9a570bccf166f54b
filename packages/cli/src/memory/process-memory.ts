/**
 * What the process needs beside the plan: an estimate by what is known before. What the process has at the moment
 * is some megabytes more or less at every start; it is not asked, so that the same command chooses the same.
 *
 *   resident   when options are read and plans are made: Node, modules, libvips, what compiling left
 *   rest       what comes on top, by what the process has done before (`REST`)
 *   batches    images of a micro-batch in bytes, one array for each that makes them
 *   images     what reading the image that takes the most takes, and one that waits, for each maker
 *   tensors    the largest tensor on its way between file and executor, twice
 */
import {
  bytesOf,
  parameters,
  plannedBytes,
  schema,
  type ModelGraph,
  type Program,
} from '@thimble/core';
import type { Reading } from '../data/image-file.js';
import { AHEAD_BYTES } from '../data/loader-fill.js';

export interface ProcessLoad {
  readonly build: Build;
  /** Images of the data set. */
  readonly images: number;
  /** Side of an image, in pixels. */
  readonly imageSize: number;
  /** Threads that prepare images. */
  readonly workers: number;
  /** Bytes that decoding and cutting out an image takes at most. */
  readonly imageBytes: number;
  readonly tensorBytes: number;
  /** True where steps run as WebAssembly. */
  readonly wasm: boolean;
}

/** What runs the process. */
export interface Build {
  /** As in `linux-x64`. */
  readonly machine: string;
  /** Of Node, as in `20.20.2`. */
  readonly version: string;
  /** Whether the C library gives freed memory back (`returnFreedMemory`). */
  readonly returnsMemory: boolean;
}

/**
 * What is resident when plans are made, by machine and major version of Node: the most of seven commands (models
 * from vit-micro to vit-base-16, with and without ranks, every executor) at two starts each, and 1 to 3 MB.
 */
const RESIDENT: Readonly<Record<string, number>> = {
  'linux-x64 20': 90e6,
  'linux-x64 22': 110e6,
  'linux-x64 24': 115e6,
};
/** Where it was not measured. */
const OTHER_RESIDENT = 128e6;

/** Holes in the heap of a C library that keeps them. */
const KEPT_BYTES = 10e6;

/** What an image leaves of the listing of its folder, as measured with 20,000. */
const LISTED_BYTES = 1200;

/** Bytes of the process when its options are read and plans are made. */
export function residentBytes({ machine, version, returnsMemory }: Build, images: number): number {
  const [major] = version.split('.');
  const known = RESIDENT[`${machine} ${major}`] ?? OTHER_RESIDENT;
  return known + (returnsMemory ? 0 : KEPT_BYTES) + images * LISTED_BYTES;
}

/**
 * What comes on top of what is resident, measured.
 *
 *   training   in a process that has only compiled: collections of 8 MB that wait in three places (images, saves, V8),
 *              libvips at work, compiled JavaScript
 *   finding    while ranks are found: collections that wait
 *   prepared   in one that has found ranks: collections that wait, JavaScript of the training loop
 *   grown      what finding ranks leaves behind: compiled JavaScript, the heap, libvips
 */
export const REST = { training: 32e6, finding: 8e6, prepared: 14e6, grown: 18e6 } as const;

const WORKER_BYTES = 40e6;
/** Compiled WebAssembly, and threads that run it. */
const WASM_BYTES = 20e6;

/**
 * Bytes beside the plan with micro-batches of `pass` images.
 *
 * @param rest of `REST`
 */
export function bytesBesidePlan(load: ProcessLoad, pass: number, rest: number): number {
  const { build, images, imageSize, workers, imageBytes, tensorBytes, wasm } = load;
  const makers = Math.max(1, workers);
  const batches = makers * pass * 3 * imageSize ** 2 * Int8Array.BYTES_PER_ELEMENT;
  const waitingBytes = 2 * AHEAD_BYTES; // an image and a part cut out of it, while the next is read
  return (
    residentBytes(build, images) +
    rest +
    (wasm ? WASM_BYTES : 0) +
    workers * WORKER_BYTES +
    batches +
    makers * (imageBytes + Math.min(imageBytes, waitingBytes)) +
    2 * tensorBytes
  );
}

/** The bytes of the whole process, and what is known of its needs. */
export interface MemoryRequest {
  readonly bytes: number;
  /** Images of the data set. */
  readonly images: number;
  readonly workers: number;
  /** The image that takes the most. */
  readonly largest: Reading;
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

/** A choice for --memory as a run's record has it. */
export const memoryReader: schema.Reader<MemoryRecord> = schema.objectOf<MemoryRecord>({
  budget: schema.number({ least: 0 }),
  besidePlan: schema.number({ least: 0 }),
  givenUp: schema.list(schema.text({ most: 1000 }), { most: 1000 }),
});

/**
 * The most that an executor has: its plan, or, before that is used, its weights and buffers while weights are
 * emitted beside it.
 */
export function executorBytes(program: Program, threads: number, emitting: number): number {
  const filled = program.slots.filter(({ role }) => role === 'parameter' || role === 'buffer');
  const filledBytes = filled.reduce((sum, { bytes }) => sum + bytes, 0);
  return Math.max(plannedBytes(program, threads), filledBytes + emitting);
}

/** Bytes of the model's largest parameter. */
export function largestTensor(model: ModelGraph): number {
  return Math.max(0, ...parameters(model.graph).map(({ type }) => bytesOf(type)));
}
