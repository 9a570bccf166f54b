/**
 * From a method to a program that is ready to be loaded and filled: what happens between reading
 * the options and training.
 *
 *   no --init             ranks are typical ones, weights start at random
 *   a run's factors       its ranks, its weights
 *   dense weights         `prepare` finds the ranks on the user's images and factors the weights
 */
import {
  initialise,
  loadWeights,
  prepare,
  type Augment,
  type BoundMethod,
  type Executor,
  type ExecutorKind,
  type Found,
  type LoadReport,
  type Preparation,
  type PrepareEvent,
  type PrepareTables,
  type Preprocess,
} from '@thimble/core';
import { Garbage } from '@thimble/native';
import type { CropSource } from '../data/decoding.js';
import { Loader } from '../data/loader.js';
import type { SourceDescription } from '../data/source.js';
import type { Caller } from '../events/caller.js';
import {
  checkStep,
  compileStep,
  type CompiledStep,
  type TrainingStep,
  type StepOptions,
} from '../step/step.js';
import { startedFound } from '../run/form.js';
import type { Start } from '../source/start.js';

export interface TrainingRequest {
  readonly options: StepOptions;
  readonly method: BoundMethod;
  readonly start: Start | null;
  readonly kind: ExecutorKind;
  readonly threads: number;
  readonly seed: number;
  /** Training images, on which ranks are found. */
  readonly images: SourceDescription;
  readonly preprocess: Preprocess;
  readonly augment: Augment;
  readonly cropSource: CropSource;
  readonly strict: boolean;
}

/** A compiled program, and how its weights come into an executor. */
export interface Ready {
  readonly step: CompiledStep;
  readonly found: Found;
  /** What the ranks were chosen from; null where they were not chosen now. */
  readonly tables: PrepareTables | null;
  /** What measured them, for ranks within other budgets; null likewise. */
  readonly prepared: Preparation | null;
  /** Writes every parameter; null when they start at random. */
  fill(executor: Executor): Promise<LoadReport | null>;
}

/**
 * Finds what is missing and compiles. Throws what `prepare` and `compile` throw, or the reason of the caller's signal.
 *
 * @param compiled the step of `job` with typical or known ranks, where somebody has compiled it already
 */
export async function makeReady(
  job: TrainingRequest,
  caller: Caller<PrepareEvent>,
  compiled: CompiledStep | null = null,
): Promise<Ready> {
  const { start, method, options, seed } = job;
  // The typical ranks do no harm.
  const { sliceImages: pass } = checkStep(options, method);
  const { imageSize } = options.model.config;
  const known = startedFound(method, { pass, imageSize }, start);
  if (start && !known) return readyFrom(await prepared(job, start, pass, caller), job);
  const step = compiled ?? compileStep(checkStep(options, method.with(known ?? {})));
  return {
    step,
    found: known ?? usedFindings(step),
    tables: null,
    prepared: null,
    fill: (executor) => {
      if (start) return Promise.resolve(loadWeights(executor, step.model, start.checkpoint, seed));
      initialise(executor, step.model, seed);
      return Promise.resolve(null);
    },
  };
}

/** With what a program was compiled, typical ranks included. */
function usedFindings({ method, compileOptions, sliceImages }: TrainingStep): Found {
  return method.findings(method.forward(compileOptions.model(sliceImages, 'train')));
}

/** Compiles with the ranks that were found. */
export function readyFrom(found: Preparation, { options }: TrainingRequest): Ready {
  const { ranks, tables, method } = found;
  return {
    step: compileStep(checkStep(options, method)),
    found: { ranks },
    tables,
    prepared: found,
    fill: (executor) => found.emitWeights(executor),
  };
}

async function prepared(
  job: TrainingRequest,
  start: Start,
  pass: number,
  caller: Caller<PrepareEvent>,
): Promise<Preparation> {
  const { options, method, kind, threads, seed } = job;
  // Checked before anything is read; the typical ranks do no harm.
  const { compileOptions } = checkStep(options, method);
  const loaders: Loader[] = [];
  const garbage = new Garbage();
  try {
    return await prepare({
      model: compileOptions.model,
      method,
      source: start.checkpoint,
      batches: (images) => {
        const loader = calibrationLoader(job, images);
        loaders.push(loader);
        return loader.epoch(0);
      },
      kind,
      threads,
      batch: pass,
      seed,
      onDropped: (bytes) => {
        garbage.dropped(bytes); // activations of few images leave holes
      },
      signal: caller.signal,
      onProgress: (event) => {
        caller.tell(event);
      },
    });
  } finally {
    await Promise.all(loaders.map((loader) => loader.close()));
  }
}

function calibrationLoader(job: TrainingRequest, batch: number): Loader {
  const { images: source, seed, preprocess, augment, cropSource, strict } = job;
  const settings = { source, purpose: 'train', batch, seed, preprocess, augment, strict } as const;
  return new Loader({ ...settings, cropSource, levels: true });
}
