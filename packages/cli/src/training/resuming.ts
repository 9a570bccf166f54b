/**
 * A run that goes on: its plan, made from what its folder holds. The program is compiled again from the record, and
 * the session gets back what it was made of, so that the weights at the end are those of a run without the break.
 */
import {
  augmentNamed,
  ConfigError,
  DataError,
  FormatError,
  parseMethod,
  schema,
  type ExecutorKind,
  type Progress,
} from '@thimble/core';
import { existsSync } from 'node:fs';
import type { CacheSettings } from '../data/image-cache.js';
import type { Caller } from '../events/caller.js';
import { readDataFile, type KnownSources } from '../run/data-file.js';
import { checkFile } from '../run/folder.js';
import { differenceOf, type RunRecord } from '../run/record.js';
import { RUN_FILES } from '../run/saves.js';
import { openState, programHash, type OpenState } from '../run/state.js';
import { checkStep, compileStep, type CompiledStep, type StepOptions } from '../step/step.js';
import { counted } from '../terminal/format.js';
import { shellWord } from '../terminal/terminal.js';
import type { TrainingFolder } from './folder.js';
import type { RunPlan } from './run-plan.js';

/** What may be said anew of a run that goes on. */
export interface ResumeChoice {
  /** Of the whole run; default: as before. */
  readonly epochs?: number;
  /** Where the images lie now. */
  readonly data?: string;
  /** Goes on with images that have changed. */
  readonly force: boolean;
  readonly threads: number;
  readonly workers: number;
  /** Milliseconds of training from now on. */
  readonly time?: number;
  readonly cache: CacheSettings | null;
  readonly saveEvery?: number;
  /** Default: as before. */
  readonly keepEvery?: number;
}

type Note = Caller<never>['note'];

/** A run as it was saved last; close it. */
export interface SavedRun {
  readonly record: RunRecord;
  readonly state: OpenState;
  close(): void;
}

/**
 * Opens what a run goes on from. Throws FileError and FormatError for a folder that is damaged, ConfigError for a run
 * that cannot go on.
 */
export function openSaved(folder: TrainingFolder): SavedRun {
  const record = folder.record();
  if (record.forgotten) throw hasForgotten(folder.path);
  const file = folder.saved(RUN_FILES.state);
  if (!existsSync(file)) throw withoutState(folder.path, file);
  for (const name of [RUN_FILES.state, RUN_FILES.data]) checkFile(folder.saved(name), name, record);
  const state = openState(file);
  return {
    record,
    state,
    close: () => {
      state.close();
    },
  };
}

/**
 * What the run has left to do, its step compiled. Throws what `compile` throws, ConfigError for fewer epochs than
 * are done, DataError for images that have changed.
 *
 * @param note told in one line what may make the result another one
 */
export function resumedPlan(
  folder: TrainingFolder,
  { record, state }: SavedRun,
  kind: ExecutorKind,
  options: ResumeChoice,
  note: Note,
): RunPlan {
  const { epochs = record.epochs, force, threads, workers, cache, time, saveEvery } = options;
  const { keepEvery = record.keepEvery } = options;
  checkEpochs(epochs, state.progress);
  const sources = readDataFile(folder.saved(RUN_FILES.data), options.data);
  checkImages(folder.path, sources, force, note);
  const step = stepOf(folder.saved(RUN_FILES.record), record);
  const { train, validation, strict } = sources;
  return {
    settings: { ...record, epochs, ...(keepEvery === undefined ? {} : { keepEvery }) },
    ...{ step, train, validation, strict, threads, kind },
    augment: augmentNamed(record.augment),
    warmup: 0,
    ignored: [],
    tables: null,
    fill: async (session) => {
      await session.restoreFrom(state.progress, (tensor) => state.read(tensor));
      const { name, detail } = session.executor;
      const before = record.executor;
      const isSame = name === before.name && detail === before.detail;
      if (!isSame)
        note('result', otherBits(`${before.name} (${before.detail})`, `${name} (${detail})`));
      else if (programHash(session.executor.program) !== state.program) {
        note('result', otherBits('another version of Thimble', 'this one'));
      }
      return null;
    },
    resumed: record,
    ...(time === undefined ? {} : { timeMs: time }),
    ...(saveEvery === undefined ? {} : { saveEvery }),
    loading: { workers },
    cache,
    takeFolder: () => folder,
  };
}

/** The step that a record describes, compiled. Throws FormatError where it is none of this version. */
function stepOf(file: string, record: RunRecord): CompiledStep {
  const { model, found, saved, batchNorm, batch, microBatches, slices } = record;
  const { smoothing, clip, preprocess } = record;
  const options: StepOptions = {
    ...{ model, batch, microBatches, smoothing, levels: preprocess },
    ...(saved === undefined ? {} : { saved }),
    ...(batchNorm === undefined ? {} : { batchNorm }),
    ...(slices === undefined ? {} : { slices }),
    ...(clip === null ? {} : { clip }),
    ...optimizerOptions(record.optimizer),
  };
  const step = checkStep(options, parseMethod(record.method).with(found));
  const difference = differenceOf('optimizer', record.optimizer, {
    name: step.optimizer.name,
    settings: step.optimizer.settings,
  });
  if (!difference) return compileStep(step);
  const [expected, got] = difference.texts;
  const todo = 'Resume the run with the version of Thimble that began it';
  throw new FormatError({ where: `${file}, ${difference.at}`, expected: got, got: expected, todo });
}

function optimizerOptions({
  name,
  settings,
}: RunRecord['optimizer']): Pick<
  StepOptions,
  'optimizer' | 'momentum' | 'momentumBits' | 'weightDecay'
> {
  const numberAt = (key: string) => {
    const value = schema.field(settings, key);
    return typeof value === 'number' ? value : undefined;
  };
  const [momentum, weightDecay] = [numberAt('momentum'), numberAt('weightDecay')];
  return {
    optimizer: name,
    ...(momentum === undefined ? {} : { momentum }),
    ...(numberAt('momentumBits') === 8 ? { momentumBits: 8 } : {}),
    ...(weightDecay === undefined ? {} : { weightDecay }),
  };
}

function checkEpochs(epochs: number, { epoch, isEpochDone }: Progress): void {
  const begun = isEpochDone ? epoch : epoch - 1;
  if (epochs >= begun) return;
  throw new ConfigError({
    where: '--epochs',
    expected: `at least the ${counted(begun, 'epoch')} that are done`,
    got: String(epochs),
    todo: 'Leave it out, or raise it',
  });
}

/** Throws DataError for images that have changed, unless `force` is on. */
function checkImages(
  run: string,
  { folder, gone, changed }: KnownSources,
  force: boolean,
  note: Note,
): void {
  if (gone.length + changed.length === 0) return;
  const what = [
    ...(gone.length > 0 ? [`${counted(gone.length, 'image')} gone (${gone[0]})`] : []),
    ...(changed.length > 0 ? [`${counted(changed.length, 'image')} changed (${changed[0]})`] : []),
  ].join(', ');
  if (force) {
    note('data', `${what}: the result will not be that of a run without the break`);
    return;
  }
  throw new DataError({
    where: run,
    expected: `the images in ${folder} as they were when the run began`,
    got: what,
    todo: 'Bring them back, say where they lie now with --data, or go on without them with --force',
  });
}

function otherBits(before: string, now: string): string {
  return `the run was begun by ${before} and goes on with ${now}: the result may differ in the last bits`;
}

function hasForgotten(run: string): ConfigError {
  return new ConfigError({
    where: run,
    expected: 'a run that training was the last to change',
    got: 'one that has forgotten images since',
    todo: `Undo that (thimble forget ${shellWord(run)} --undo), or start a new run from it with --init`,
  });
}

function withoutState(run: string, file: string): FormatError {
  return new FormatError({
    where: file,
    expected: 'the state of a training run',
    got: 'nothing at this path',
    todo: `Start a new run from its weights: thimble train DIR --init ${shellWord(run)}`,
  });
}
