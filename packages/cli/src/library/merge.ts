/** merge: a factored run's weights as the dense ones that they stand for. */
import {
  buildModel,
  checkedClassNames,
  checkedLogits,
  compile,
  ConfigError,
  linears,
  loadWeights,
  matchWeights,
  mergedWeights,
  parseMethod,
  PLAIN_METHOD,
  predictLogits,
  Random,
  safetensorsData,
  safetensorsPrefix,
  TrainingError,
  type BoundMethod,
  type ExecutorKind,
  type MergedTensor,
  type ModelBuilder,
  type ModelGraph,
  type TensorShape,
} from '@thimble/core';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  Caller,
  type Hooks,
  type NoteEvent,
  type WritingEvent,
  type WrittenEvent,
} from '../events/caller.js';
import { Staging } from '../export/staging.js';
import { openRun } from '../run/open.js';
import type { RunRecord } from '../run/record.js';
import { checkpointMetadata, openCheckpoint, STORED } from '../weights/checkpoint.js';
import { executorFor, threadsFor, type ExecutorOptions } from './work.js';

export interface MergeOptions extends ExecutorOptions {
  /** The folder of a run with a factored method. */
  readonly run: string;
  /** The file to write; default: merged.safetensors in the run folder. */
  readonly out?: string;
  /** Weights of the best epoch instead of the last; default: off. */
  readonly best?: boolean;
  /** Replaces an existing file; default: off. */
  readonly force?: boolean;
}

/** What happens while weights are merged. */
export type MergingEvent = NoteEvent | WritingEvent | WrittenEvent;

/** The file that was written, and how its logits agree with those of the run. */
export interface MergeResult {
  /** The file. */
  readonly out: string;
  readonly bytes: number;
  /** Weights that were factored. */
  readonly merged: number;
  /** Of the logits of both forms on noise, and the largest logit. */
  readonly maxDifference: number;
  readonly maxLogit: number;
}

/** Images of noise on which both forms have to agree. */
const CHECKED = 4;
/** Share of the largest logit by which they may differ: float32 sums in another order. */
const TOLERANCE = 1e-3;

/**
 * Writes the dense weights that the factors of a run stand for, and compares both forms. Throws ConfigError for a
 * run without factors or a file that is there, TrainingError where the forms differ, FileError, and the reason of an
 * aborted signal; nothing is replaced then.
 */
export async function merge(
  options: MergeOptions,
  hooks: Hooks<MergingEvent> = {},
): Promise<MergeResult> {
  const caller = new Caller(hooks);
  const { run, best = false, force = false } = options;
  const { record, path, checkpoint, method, model } = openRun(run, best);
  checkpoint.close();
  const out = options.out ?? join(run, 'merged.safetensors');
  const build: ModelBuilder = (batch, mode) => buildModel(record.model.config, { batch, mode });
  const factored = linears(model, 'all').filter(({ form }) => form.kind !== 'dense');
  if (factored.length === 0) throw alreadyDense(run, record, path);
  checkNew(out, force);
  const kind = await executorFor(options, caller);
  caller.tell({ event: 'writing' });
  const staging = new Staging(dirname(out));
  try {
    const merged = await writeMerged(path, { staging, out, model, record }, caller.signal);
    const forms = { build, method, kind, record, threads: threadsFor(options) };
    const difference = await compareForms(forms, path, merged.path);
    caller.checkSignal();
    staging.commit();
    return { out, bytes: merged.bytes, merged: factored.length, ...difference };
  } finally {
    staging.discard();
    caller.tell({ event: 'written' });
  }
}

interface Merging {
  readonly staging: Staging;
  readonly out: string;
  readonly model: ModelGraph;
  readonly record: RunRecord;
}

/** Writes the file beside its place: where it is, and its bytes. */
async function writeMerged(
  from: string,
  { staging, out, model, record }: Merging,
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly bytes: number }> {
  const checkpoint = openCheckpoint(from);
  try {
    const { contents } = matchWeights(model, checkpoint, record.seed);
    const tensors = mergedWeights(model, contents).map((tensor) => ({
      ...tensor,
      dtype: STORED[tensor.dtype],
    }));
    const { model: named, classes, preprocess } = record;
    checkedClassNames(classes, from, 'Export the run instead, with --labels');
    const metadata = checkpointMetadata(named, classes, preprocess);
    const { prefix, ordered } = safetensorsPrefix(tensors, metadata);
    const parts = function* () {
      yield prefix;
      for (const tensor of ordered) yield bytesOf(tensor);
    };
    return await staging.write(basename(out), parts(), signal);
  } finally {
    checkpoint.close();
  }
}

function bytesOf({ read, ...tensor }: TensorShape & Pick<MergedTensor, 'read'>): Uint8Array {
  return safetensorsData({ ...tensor, data: read() });
}

interface Forms {
  readonly build: ModelBuilder;
  readonly method: BoundMethod;
  readonly kind: ExecutorKind;
  readonly record: RunRecord;
  readonly threads: number;
}

/** Throws TrainingError when the two files do not give the same logits. */
async function compareForms(
  forms: Forms,
  factored: string,
  merged: string,
): Promise<{ readonly maxDifference: number; readonly maxLogit: number }> {
  const before = await logitsOf(forms, forms.method, factored);
  const after = await logitsOf(forms, parseMethod(PLAIN_METHOD), merged);
  const most = (values: readonly number[]) =>
    values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const maxLogit = most(before);
  const maxDifference = most(before.map((logit, index) => logit - after[index]));
  if (maxDifference <= TOLERANCE * Math.max(1, maxLogit)) return { maxDifference, maxLogit };
  throw new TrainingError({
    where: 'logits of the merged model',
    expected: `those of ${factored} within ${String(TOLERANCE)} of ${maxLogit.toFixed(2)}`,
    got: `a difference of ${String(maxDifference)}`,
    todo: 'Report this as a bug; nothing was written',
  });
}

async function logitsOf(
  { build, kind, record, threads }: Forms,
  method: BoundMethod,
  path: string,
): Promise<readonly number[]> {
  const program = compile({ model: build, method, batch: CHECKED });
  const executor = await kind.load(program, { threads });
  const checkpoint = openCheckpoint(path);
  try {
    loadWeights(executor, method.forward(build(1, 'eval')), checkpoint, record.seed);
    const { imageSize } = record.model.config;
    const noise = new Float32Array(CHECKED * 3 * imageSize * imageSize);
    const random = Random.of(record.seed, 'merge');
    for (let i = 0; i < noise.length; i++) noise[i] = random.normal();
    return Array.from(checkedLogits(await predictLogits(executor, noise), `${path} on noise`));
  } finally {
    checkpoint.close();
    await executor.dispose();
  }
}

function alreadyDense(run: string, record: RunRecord, path: string): ConfigError {
  return new ConfigError({
    where: run,
    expected: 'a run with factored weights (wasi, wsi or lora)',
    got: `method ${record.method}`,
    todo: `Use ${path}: its weights are dense`,
  });
}

function checkNew(path: string, force: boolean): void {
  if (force || !existsSync(path)) return;
  throw new ConfigError({
    where: `--out ${path}`,
    expected: 'a new file',
    got: 'an existing one',
    todo: 'Choose another path, or --force to replace it',
  });
}
