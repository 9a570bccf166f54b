/**
 * run.json: what is known of a run, and how it is read back. What passes is of one piece: a model that can be built
 * and has as many classes as there are names, a method with its ranks, preprocessing that makes finite numbers.
 */
import {
  FormatError,
  foundRanks,
  methodReader,
  modelReader,
  parseMethod,
  preprocessReader,
  ranksReader,
  SAVED_FORMS,
  schema,
  type BatchNormStatistics,
  type Found,
  type ModelConfig,
  type Preprocess,
  type SavedForm,
} from '@thimble/core';
import type { Form } from './form.js';
import { originReader, type Origin } from './origin.js';
import { CROP_SOURCES, type CropSource } from '../data/decoding.js';
import { forgottenReader, type ForgottenRecord } from './forgotten.js';
import { memoryReader, type MemoryRecord } from '../memory/process-memory.js';

export const RUN_FORMAT = 'thimble-run';
export const RUN_VERSION = 1;

export interface EpochRecord {
  readonly epoch: number;
  readonly step: number;
  /** Mean training loss; null where the epoch completed no step. */
  readonly trainLoss: number | null;
  readonly accuracy: number;
  readonly loss: number;
  readonly seconds: number;
}

/**
 * What is decided about a run before it starts: the one description of it that a plan is made with, a record
 * keeps, and what is said of the run picks from.
 */
export interface RunSettings {
  readonly model: { readonly name: string; readonly config: ModelConfig };
  /** Reproduces the method through `parseMethod`. */
  readonly method: string;
  /** With what the method was compiled. */
  readonly found: Found;
  /** Form of saved tensors; absent in runs from before there was a choice. */
  readonly saved?: SavedForm;
  /** What batch norms normalised with; absent where the model has none. */
  readonly batchNorm?: BatchNormStatistics;
  /** What was chosen for --memory; absent without. */
  readonly memory?: MemoryRecord;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
  readonly augment: string;
  /** Absent in runs from before there was a choice: whole. */
  readonly cropSource?: CropSource;
  readonly optimizer: { readonly name: string; readonly settings: object };
  /** The peak. */
  readonly learningRate: number;
  readonly smoothing: number;
  readonly clip: number | null;
  readonly batch: number;
  readonly microBatches: number;
  /** Of a micro-batch; absent in runs from before there were any: 1. */
  readonly slices?: number;
  readonly epochs: number;
  /** Epochs after each of which a whole copy is kept; absent: none is. */
  readonly keepEvery?: number;
  readonly seed: number;
  readonly init: string | null;
  /** Where the starting weights came from; absent without any, and in runs from before it was kept. */
  readonly origin?: Origin;
  readonly data: {
    readonly from: string;
    readonly validationFrom: string;
    readonly trainImages: number;
    readonly validationImages: number;
  };
}

export interface RunRecord extends RunSettings {
  readonly warmupSteps: number;
  readonly executor: { readonly name: string; readonly detail: string; readonly threads: number };
  readonly status: 'running' | 'done' | 'interrupted' | 'failed';
  readonly history: readonly EpochRecord[];
  /** SHA-256 of the other files, by name; absent in runs from before they were kept. */
  readonly files?: Readonly<Record<string, string>>;
  /** What was forgotten since; absent: nothing. */
  readonly forgotten?: readonly ForgottenRecord[];
}

const { list, nullable, number, object, objectOf, oneOf, optional, record, text, whole } = schema;

const COUNT = whole({ least: 0, most: Number.MAX_SAFE_INTEGER });
const ABOVE_ZERO = whole({ most: Number.MAX_SAFE_INTEGER });
const NAME = text({ most: 1000 });
const RATE = number({ least: 0 });

const epochReader: schema.Reader<EpochRecord> = objectOf<EpochRecord>({
  epoch: ABOVE_ZERO,
  step: COUNT,
  trainLoss: nullable(number()),
  accuracy: number({ least: 0, most: 1 }),
  loss: number(),
  seconds: RATE,
});

const settings: schema.Reader<object> = (value, place) =>
  schema.isObject(value) ? value : place.fail('an object', value);

/** A version of the format that this program reads. */
const header = object({ format: oneOf(RUN_FORMAT), version: oneOf(RUN_VERSION) });

/** A record as run.json has it: what was found by kind, beside the rest. */
export type WrittenRun = Omit<RunRecord, 'found'> & Found;

export function writtenRun({ model, method, found, ...rest }: RunRecord): WrittenRun {
  return { model, method, ranks: foundRanks(found), ...rest };
}

const writtenReader: schema.Reader<WrittenRun> = schema.refined(
  objectOf<WrittenRun>({
    model: objectOf<RunRecord['model']>({ name: NAME, config: modelReader }),
    method: methodReader,
    ranks: optional(ranksReader),
    saved: optional(oneOf(...Object.values(SAVED_FORMS).map(({ form }) => form))),
    batchNorm: optional(oneOf('batch', 'frozen')),
    memory: optional(memoryReader),
    classes: list(NAME, { least: 1, most: 1_000_000 }),
    preprocess: preprocessReader,
    augment: NAME,
    cropSource: optional(oneOf(...CROP_SOURCES)),
    optimizer: objectOf<RunRecord['optimizer']>({ name: NAME, settings }),
    learningRate: RATE,
    warmupSteps: COUNT,
    smoothing: number({ least: 0, most: 1 }),
    clip: nullable(RATE),
    batch: ABOVE_ZERO,
    microBatches: ABOVE_ZERO,
    slices: optional(ABOVE_ZERO),
    epochs: COUNT,
    keepEvery: optional(ABOVE_ZERO),
    seed: COUNT,
    init: nullable(text()),
    origin: optional(originReader),
    data: objectOf<RunRecord['data']>({
      from: text(),
      validationFrom: text(),
      trainImages: COUNT,
      validationImages: COUNT,
    }),
    executor: objectOf<RunRecord['executor']>({ name: NAME, detail: NAME, threads: ABOVE_ZERO }),
    status: oneOf('running', 'done', 'interrupted', 'failed'),
    history: list(epochReader, { most: 1_000_000 }),
    files: optional(record(text({ most: 64 }), { most: 100 })),
    forgotten: optional(list(forgottenReader, { least: 1, most: 1_000_000 })),
  }),
  checkTogether,
);

/** What holds of several fields. */
function checkTogether(run: WrittenRun, place: schema.Place): void {
  const { model, classes, batch, microBatches, slices = 1 } = run;
  const { channels } = model.config;
  if (channels !== 3) {
    throw place
      .at('model')
      .at('config')
      .at('channels')
      .error('3, as pictures have', String(channels));
  }
  if (classes.length !== model.config.classes) {
    const names = `${String(model.config.classes)} names, one for each output of the model`;
    throw place.at('classes').error(names, String(classes.length));
  }
  if (batch % microBatches !== 0) {
    throw place
      .at('microBatches')
      .error(`a divisor of the batch ${String(batch)}`, String(microBatches));
  }
  const pass = batch / microBatches;
  if (pass % slices !== 0) {
    throw place
      .at('slices')
      .error(`a divisor of the ${String(pass)} images of a micro-batch`, String(slices));
  }
}

/** The form in which the weights of a run live. */
export function formOf(run: RunSettings): Form {
  const { method, found, batch, microBatches, slices = 1 } = run;
  return { method, found, pass: batch / microBatches / slices };
}

/** The record in a text. Throws FormatError. @param file what errors call it */
export function parseRunRecord(file: string, json: string): RunRecord {
  const document = {
    file,
    error: FormatError,
    todo: 'Pass the folder of a run as thimble train wrote it',
  };
  schema.read(json, header, document);
  const { ranks, ...run } = schema.read(json, writtenReader, document);
  if (ranks === undefined && parseMethod(run.method).probe !== null) {
    const expected = `those with which ${run.method} was compiled`;
    throw new schema.Place(document).at('ranks').error(expected, 'nothing');
  }
  return { ...run, found: ranks === undefined ? {} : { ranks } };
}

/** Where two values are not written the same. */
export interface Difference {
  /** Keys down to it, as in `config.heads`. */
  readonly at: string;
  /** What stands there, for an error. */
  readonly texts: readonly [left: string, right: string];
}

/** The first difference of two values that JSON has, in whatever order keys are; null for none. */
export function differenceOf(at: string, left: unknown, right: unknown): Difference | null {
  if (schema.isObject(left) && schema.isObject(right)) {
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const found = differenceOf(`${at}.${key}`, schema.field(left, key), schema.field(right, key));
      if (found) return found;
    }
    return null;
  }
  if (JSON.stringify(left) === JSON.stringify(right)) return null;
  return { at, texts: [schema.brief(left), schema.brief(right)] };
}
