/**
 * From a method to a program that is ready to be loaded and filled: what happens between reading
 * the options and training.
 *
 *   no --init             ranks are typical ones, weights start at random
 *   a run's factors       its ranks, its weights
 *   dense weights         `prepare` finds the ranks on the user's images and factors the weights
 */
import {
  foundRanks,
  initialise,
  loadWeights,
  prepare,
  type Augment,
  type BoundMethod,
  type Executor,
  type ExecutorKind,
  type LoadReport,
  type Prepared,
  type PrepareEvent,
  type PrepareTables,
  type Preprocess,
  type Ranks,
} from '@thimble/core';
import { Garbage, returnFreedMemory } from '@thimble/native';
import { Loader } from '../data/loader.js';
import type { SourceDescription } from '../data/source.js';
import type { Output } from '../terminal/output.js';
import type { Bar } from '../terminal/progress.js';
import { setUp, type Setup, type StepOptions } from '../step/setup.js';
import { startedRanks } from '../run/factors.js';
import type { Start } from '../source/start.js';

export interface Job {
  readonly step: StepOptions;
  readonly method: BoundMethod;
  readonly start: Start | null;
  readonly kind: ExecutorKind;
  readonly threads: number;
  readonly seed: number;
  /** Training images, on which ranks are found. */
  readonly images: SourceDescription;
  readonly preprocess: Preprocess;
  readonly augment: Augment;
  readonly strict: boolean;
}

/** A compiled program, and how its weights come into an executor. */
export interface Ready {
  readonly setup: Setup;
  readonly ranks: Ranks;
  /** What the ranks were chosen from; null where they were not chosen now. */
  readonly tables: PrepareTables | null;
  /** What measured them, for ranks within other budgets; null likewise. */
  readonly prepared: Prepared | null;
  /** Writes every parameter; null when they start at random. */
  fill(executor: Executor): Promise<LoadReport | null>;
}

/** Finds what is missing and compiles. Throws what `prepare` and `compile` throw. */
export async function makeReady(job: Job, output: Output): Promise<Ready> {
  const { start, method, step, seed } = job;
  const pass = step.batch / (step.microBatches ?? 1);
  const { imageSize } = step.model.config;
  const known = startedRanks(method, { pass, imageSize }, start);
  if (start && !known) return readyFrom(await prepared(job, start, pass, output), job);
  const setup = setUp(step, known ? method.with({ ranks: known }) : method);
  return {
    setup,
    ranks: known ?? usedRanks(setup),
    tables: null,
    prepared: null,
    fill: (executor) => {
      if (start) return Promise.resolve(loadWeights(executor, setup.model, start.checkpoint, seed));
      initialise(executor, setup.model, seed);
      return Promise.resolve(null);
    },
  };
}

/** The ranks with which a program was compiled, typical ones included. */
function usedRanks({ method, compileOptions }: Setup): Ranks {
  const whole = method.forward(compileOptions.model(compileOptions.batch, 'train'));
  return foundRanks(method.findings(whole));
}

/** Compiles with the ranks that were found. */
export function readyFrom(found: Prepared, { step }: Job): Ready {
  const { ranks, tables, method } = found;
  return {
    setup: setUp(step, method),
    ranks,
    tables,
    prepared: found,
    fill: (executor) => found.emitWeights(executor),
  };
}

async function prepared(job: Job, start: Start, pass: number, output: Output): Promise<Prepared> {
  const { step, method, kind, threads, seed } = job;
  // Shapes are checked before anything is read; the typical ranks do no harm.
  const { compileOptions } = setUp(step, method);
  const loaders: Loader[] = [];
  const garbage = new Garbage();
  const progress = new PrepareProgress(output);
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
        if (garbage.dropped(bytes)) returnFreedMemory(); // activations of few images leave holes
      },
      onProgress: (event) => {
        progress.event(event);
      },
    });
  } finally {
    progress.stop();
    await Promise.all(loaders.map((loader) => loader.close()));
  }
}

function calibrationLoader(job: Job, batch: number): Loader {
  const { images: source, seed, preprocess, augment, strict } = job;
  return new Loader({ source, purpose: 'train', batch, seed, preprocess, augment, strict });
}

const STAGES: { readonly [S in PrepareEvent['stage']]: string } = {
  forward: 'Reading images',
  measure: 'Measuring     ',
  factor: 'Factoring     ',
};

/** JSON events, or a bar for each stage. */
class PrepareProgress {
  private readonly output: Output;
  private bar: { readonly stage: string; readonly bar: Bar } | null = null;

  constructor(output: Output) {
    this.output = output;
  }

  event(event: PrepareEvent): void {
    const { event: name, stage, done, total, what } = event;
    this.output.event(name, { stage, done, total, what });
    if (this.bar?.stage !== stage) {
      this.stop();
      this.bar = { stage, bar: this.output.bar(STAGES[stage], total) };
    }
    this.bar.bar.update(done, what);
    if (done === total) this.stop();
  }

  stop(): void {
    this.bar?.bar.stop();
    this.bar = null;
  }
}
