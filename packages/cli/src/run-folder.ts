/**
 * The run folder: what training leaves behind, and what `eval` and `predict` read.
 *
 *   run.json            configuration, classes, preprocessing, versions, a record of each epoch
 *   model.safetensors   weights after the last good epoch, or where the run was interrupted
 *   best.safetensors    weights of the epoch with the highest validation accuracy; of equal ones, with
 *                       the lowest loss
 *   ranks.json          of a factored run: its ranks and what they were chosen from
 *   labels.txt          names of the classes, one per line, in the order of the model's outputs
 *
 * Every file is replaced as a whole. `training-folder.ts` says how they come to lie there.
 */
import {
  FormatError,
  InternalError,
  NO_RANKS,
  type ModelConfig,
  type Preprocess,
  type Ranks,
  type SavedForm,
} from '@thimble/core';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceWithText } from './files.js';
import type { Origin } from './origin.js';
import type { MemoryRecord } from './process-memory.js';
import { VERSION } from './version.js';

const FORMAT = 'thimble-run';
const FORMAT_VERSION = 1;

export const RUN_FILES = {
  record: 'run.json',
  model: 'model.safetensors',
  best: 'best.safetensors',
  labels: 'labels.txt',
  ranks: 'ranks.json',
} as const;

export interface EpochRecord {
  readonly epoch: number;
  readonly step: number;
  /** Mean training loss. */
  readonly trainLoss: number;
  readonly accuracy: number;
  readonly loss: number;
  readonly seconds: number;
}

export interface RunRecord {
  readonly model: { readonly name: string; readonly config: ModelConfig };
  /** Reproduces the method through `parseMethod`. */
  readonly method: string;
  /** With which the method was compiled; empty without a factored form. */
  readonly ranks: Ranks;
  /** Form of saved tensors; absent in runs from before there was a choice. */
  readonly saved?: SavedForm;
  /** What was chosen for --memory; absent without. */
  readonly memory?: MemoryRecord;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
  readonly augment: string;
  readonly optimizer: { readonly name: string; readonly settings: object };
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly smoothing: number;
  readonly clip: number | null;
  readonly batch: number;
  readonly microBatches: number;
  readonly epochs: number;
  readonly seed: number;
  readonly init: string | null;
  /** Where the starting weights came from; absent without any, and in runs of version 0.1.0. */
  readonly origin?: Origin;
  readonly data: {
    readonly from: string;
    readonly validationFrom: string;
    readonly trainImages: number;
    readonly validationImages: number;
  };
  readonly executor: { readonly name: string; readonly detail: string; readonly threads: number };
  readonly status: 'running' | 'done' | 'interrupted' | 'failed';
  readonly history: readonly EpochRecord[];
}

/** Replaces the record in the file `path`. */
export async function writeRunRecord(path: string, record: RunRecord): Promise<void> {
  const file = { format: FORMAT, version: FORMAT_VERSION, thimble: VERSION, node: process.version };
  await replaceWithText(path, `${JSON.stringify({ ...file, ...record }, finite, 2)}\n`);
}

/** JSON has no other numbers: they would become null without a word. */
function finite(key: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw InternalError.of(`${RUN_FILES.record}, ${key}`, 'a finite number', String(value));
}

/** Reads the record of a run. Throws FormatError. */
export function readRunRecord(path: string): RunRecord {
  const file = join(path, RUN_FILES.record);
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw notARun(file, error instanceof Error ? error.message : 'unreadable');
  }
  if (!isRecordFile(parsed)) throw notARun(file, 'JSON that is not the record of a run');
  if (parsed.version !== FORMAT_VERSION) throw notARun(file, `version ${String(parsed.version)}`);
  const { ranks = NO_RANKS } = parsed; // runs of version 0.1.0 have none
  return { ...parsed, ranks };
}

/**
 * The checkpoint of a run: the last one, or the best. Throws FormatError when there is none yet.
 */
export function checkpointPath(path: string, best: boolean): string {
  const file = join(path, best ? RUN_FILES.best : RUN_FILES.model);
  if (existsSync(file)) return file;
  throw new FormatError({
    where: file,
    expected: 'a saved model',
    got: 'nothing at this path',
    todo: 'Train for at least one epoch; a run saves after every epoch',
  });
}

type RecordFile = Omit<RunRecord, 'ranks'> & {
  readonly ranks?: Ranks;
  readonly format: string;
  readonly version: number;
};

/** The parts that `eval` and `predict` rely on; the model's own checks follow when it is built. */
function isRecordFile(value: unknown): value is RecordFile {
  if (typeof value !== 'object' || value === null) return false;
  const file: Partial<Record<keyof RecordFile, unknown>> = value;
  return (
    file.format === FORMAT &&
    typeof file.version === 'number' &&
    typeof file.method === 'string' &&
    (file.ranks === undefined || isRanks(file.ranks)) &&
    isObjectWith(file.model, 'config') &&
    isObjectWith(file.preprocess, 'size') &&
    Array.isArray(file.classes) &&
    file.classes.every((name) => typeof name === 'string')
  );
}

export function isRanks(value: unknown): value is Ranks {
  if (typeof value !== 'object' || value === null) return false;
  const { weights, activations }: Partial<Record<keyof Ranks, unknown>> = value;
  const values = (record: unknown): readonly unknown[] | null =>
    typeof record === 'object' && record !== null ? Object.values(record) : null;
  const isRank = (rank: unknown) => Number.isSafeInteger(rank) && Number(rank) >= 1;
  return (
    values(weights)?.every(isRank) === true &&
    values(activations)?.every((modes) => Array.isArray(modes) && modes.every(isRank)) === true
  );
}

function isObjectWith(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && key in value;
}

function notARun(file: string, got: string): FormatError {
  return new FormatError({
    where: file,
    expected: `a ${FORMAT} record of version ${String(FORMAT_VERSION)}`,
    got,
    todo: 'Pass the folder that thimble train wrote',
  });
}
