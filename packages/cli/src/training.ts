/**
 * One training run from compiled program to saved model: what `train` and `demo` share.
 *
 * Order: everything that can be refused is refused before the run folder is made; the folder proves that
 * it can be written to before the first step; every good epoch is saved whole.
 */
import {
  cosine,
  DataError,
  TrainingError,
  initialise,
  loadWeights,
  plannedBytes,
  train,
  trainingBatchCount,
  type Augment,
  type EpochEvent,
  type Executor,
  type ExecutorKind,
  type LoadReport,
  type Preprocess,
  type TrainResult,
} from '@thimble/core';
import { join } from 'node:path';
import { openCheckpoint, saveCheckpoint } from './checkpoint.js';
import { Loader, type LoaderOptions, type SkippedImage } from './data/loader.js';
import type { SourceDescription } from './data/source.js';
import { replaceWithCopy } from './files.js';
import { onInterrupt } from './interrupt.js';
import type { Output } from './output.js';
import {
  createRunFolder,
  RUN_FILES,
  writeRunRecord,
  type EpochRecord,
  type RunRecord,
} from './run-folder.js';
import { parameterCounts, type Setup } from './setup.js';
import { TrainingReport } from './training-report.js';

/** All that a run needs to know. */
export interface RunPlan {
  readonly setup: Setup;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
  readonly augment: Augment;
  readonly augmentName: string;
  readonly train: SourceDescription;
  readonly validation: SourceDescription;
  readonly data: RunRecord['data'];
  readonly epochs: number;
  readonly learningRate: number;
  /** Epochs; below 1 a share of the run. */
  readonly warmup: number;
  readonly smoothing: number;
  readonly clip: number | null;
  readonly seed: number;
  readonly init: string | null;
  readonly strict: boolean;
  readonly loading: LoaderOptions;
  readonly kind: ExecutorKind;
  readonly threads: number;
  readonly folder: string;
  /** Called with the trained weights still loaded, before the executor goes. */
  readonly afterwards?: (executor: Executor) => Promise<void>;
}

export interface RunOutcome {
  readonly interrupted: boolean;
  /** The fields of the last JSON line. */
  readonly summary: RunSummary;
  readonly skipped: readonly SkippedImage[];
}

export interface RunSummary {
  /** Of the last epoch's validation, 0–1. */
  readonly accuracy: number | null;
  /** Mean cross-entropy of the last epoch's validation. */
  readonly loss: number | null;
  readonly trainLoss: number | null;
  readonly steps: number;
  readonly msPerStep: number | null;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
  readonly rssPeakBytes: number;
  readonly executor: string;
  readonly executorDetail: string;
  readonly threads: number;
  readonly epochs: number;
  readonly bestAccuracy: number | null;
  readonly bestEpoch: number | null;
  readonly seconds: number;
  readonly skipped: number;
  readonly run: string;
}

/** Runs the plan. Throws what core throws; the run folder then keeps the last good checkpoint. */
export async function runTraining(plan: RunPlan, output: Output): Promise<RunOutcome> {
  const { setup, folder } = plan;
  // The error of a set smaller than a batch speaks of the whole batch, not of one pass.
  trainingBatchCount(plan.data.trainImages, setup.pass * setup.microBatches);
  const executor = await plan.kind.load(setup.program, { threads: plan.threads });
  const loaders: Loader[] = [];
  try {
    sayLoaded(fillWeights(plan, executor), plan, output);
    const training = openLoader(plan, 'train');
    loaders.push(training);
    const validation = openLoader(plan, 'evaluate');
    loaders.push(validation);
    const recorder = new Recorder(plan, executor, training.batchCount);
    await createRunFolder(folder, recorder.record);
    return await loop(plan, { executor, training, validation, recorder }, output);
  } finally {
    await Promise.all(loaders.map((loader) => loader.close()));
    await executor.dispose();
  }
}

interface Parts {
  readonly executor: Executor;
  readonly training: Loader;
  readonly validation: Loader;
  readonly recorder: Recorder;
}

async function loop(plan: RunPlan, parts: Parts, output: Output): Promise<RunOutcome> {
  const { executor, training, validation, recorder } = parts;
  const { setup, epochs } = plan;
  const started = performance.now();
  const report = new TrainingReport(output, epochs, recorder.stepsPerEpoch);
  report.start(startFields(plan, executor, recorder));
  const interrupt = onInterrupt(() => {
    output.note('thimble: stopping after this step; Ctrl-C again to stop at once');
  });
  try {
    const result = await train({
      executor,
      optimizer: setup.optimizer,
      schedule: cosine({
        peak: plan.learningRate,
        steps: Math.max(1, recorder.totalSteps),
        warmupSteps: recorder.record.warmupSteps,
      }),
      epochs,
      microBatches: setup.microBatches,
      batches: (epoch) => training.epoch(epoch),
      validation: () => validation.epoch(0),
      signal: interrupt.signal,
      onEvent: async (event) => {
        report.event(event);
        if (event.event === 'epoch') await recorder.epoch(event, validation);
      },
    });
    await recorder.finish(result.aborted ? 'interrupted' : 'done');
    await plan.afterwards?.(executor);
    const skipped = [...training.skipped, ...validation.skipped];
    const seconds = (performance.now() - started) / 1000;
    const summary = summarise(plan, executor, recorder, result, seconds, skipped.length);
    return { interrupted: result.aborted, summary, skipped };
  } catch (error) {
    await recorder.fail();
    throw error;
  } finally {
    report.stop();
    interrupt.dispose();
  }
}

function openLoader(plan: RunPlan, purpose: 'train' | 'evaluate'): Loader {
  const { preprocess, augment, seed, strict, loading } = plan;
  const source = purpose === 'train' ? plan.train : plan.validation;
  const batch = plan.setup.pass;
  const settings = { source, purpose, batch, seed, preprocess, augment, strict };
  // A thread costs 30 MB; validation does without one of its own, since this one only waits meanwhile.
  return new Loader(settings, purpose === 'train' ? loading : { workers: 0 });
}

function fillWeights(plan: RunPlan, executor: Executor): LoadReport | null {
  const { setup, init, seed } = plan;
  if (init === null) {
    initialise(executor, setup.model, seed);
    return null;
  }
  const checkpoint = openCheckpoint(init);
  try {
    return loadWeights(executor, setup.model, checkpoint, seed);
  } finally {
    checkpoint.close();
  }
}

function sayLoaded(report: LoadReport | null, plan: RunPlan, output: Output): void {
  if (!report) return;
  const replaced =
    report.replaced.length === 0
      ? ''
      : `; ${report.replaced.join(' and ')} start at zero for ${String(plan.classes.length)} classes`;
  const unused = report.unused.length === 0 ? '' : `; unused: ${report.unused.join(', ')}`;
  output.line(`Loaded ${String(report.loaded)} tensors of ${plan.init ?? ''}${replaced}${unused}`);
}

function startFields(plan: RunPlan, executor: Executor, recorder: Recorder) {
  const { setup, classes, data, folder } = plan;
  return {
    model: setup.modelName,
    method: setup.method.text,
    ...parameterCounts(setup.model),
    classes,
    trainImages: data.trainImages,
    validationImages: data.validationImages,
    steps: recorder.totalSteps,
    batch: setup.pass * setup.microBatches,
    learningRate: plan.learningRate,
    optimizer: setup.optimizer.name,
    plannedBytes: plannedBytes(setup.program, executor.threads),
    executor: executor.name,
    executorDetail: executor.detail,
    threads: executor.threads,
    run: folder,
  };
}

function summarise(
  plan: RunPlan,
  executor: Executor,
  recorder: Recorder,
  result: TrainResult,
  seconds: number,
  skipped: number,
): RunSummary {
  const { best, record } = recorder;
  const last = record.history.at(-1);
  return {
    accuracy: last?.accuracy ?? null,
    loss: last?.loss ?? null,
    trainLoss: last?.trainLoss ?? null,
    steps: result.steps,
    msPerStep: Number.isFinite(result.msPerStep) ? result.msPerStep : null,
    plannedBytes: plannedBytes(plan.setup.program, executor.threads),
    arenaBytes: executor.arenaBytes,
    rssPeakBytes: process.resourceUsage().maxRSS * 1024,
    executor: executor.name,
    executorDetail: executor.detail,
    threads: executor.threads,
    epochs: record.history.length,
    bestAccuracy: best?.accuracy ?? null,
    bestEpoch: best?.epoch ?? null,
    seconds,
    skipped,
    run: plan.folder,
  };
}

/** Keeps the run folder up to date: weights, best weights, record. */
class Recorder {
  record: RunRecord;
  best: EpochRecord | null = null;
  /** Updates of one epoch, on average: micro-batches left over at its end count in the next. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  private readonly plan: RunPlan;
  private readonly executor: Executor;

  constructor(plan: RunPlan, executor: Executor, passesPerEpoch: number) {
    const { microBatches } = plan.setup;
    this.plan = plan;
    this.executor = executor;
    this.stepsPerEpoch = passesPerEpoch / microBatches;
    this.totalSteps = Math.floor((passesPerEpoch * plan.epochs) / microBatches);
    const share = plan.warmup < 1 ? plan.warmup : plan.warmup / plan.epochs;
    const warmupSteps = Math.min(this.totalSteps, Math.round(share * this.totalSteps));
    this.record = initialRecord(plan, executor, warmupSteps);
  }

  /** Saves a finished epoch. Throws DataError when no validation image could be read. */
  async epoch(event: EpochEvent, validation: Loader): Promise<void> {
    const { epoch, step, loss: trainLoss, seconds } = event;
    const evaluation = event.validation;
    if (!evaluation || evaluation.images === 0) {
      throw new DataError({
        where: 'validation set',
        expected: 'at least one readable image',
        got: `${String(validation.skipped.length)} unreadable ones`,
        todo: 'Check that the files are images',
      });
    }
    const { accuracy, loss } = evaluation;
    if (!Number.isFinite(loss)) throw diverged(epoch, step, loss);
    const record = { epoch, step, trainLoss, accuracy, loss, seconds };
    await this.save();
    if (this.best === null || accuracy > this.best.accuracy) {
      this.best = record;
      replaceWithCopy(this.path(RUN_FILES.model), this.path(RUN_FILES.best));
    }
    this.record = { ...this.record, history: [...this.record.history, record] };
    await writeRunRecord(this.plan.folder, this.record);
  }

  async finish(status: 'done' | 'interrupted'): Promise<void> {
    if (status === 'interrupted') await this.save();
    this.record = { ...this.record, status };
    await writeRunRecord(this.plan.folder, this.record);
  }

  /** Marks the run as failed; the reason of the failure is more useful than a second one here. */
  async fail(): Promise<void> {
    this.record = { ...this.record, status: 'failed' };
    await writeRunRecord(this.plan.folder, this.record).catch(() => undefined);
  }

  private save(): Promise<void> {
    const { setup, classes } = this.plan;
    const metadata = new Map([
      ['format', 'pt'],
      ['model', setup.modelName],
      ['classes', JSON.stringify(classes)],
    ]);
    return saveCheckpoint(this.path(RUN_FILES.model), this.executor, setup.model, metadata);
  }

  private path(file: string): string {
    return join(this.plan.folder, file);
  }
}

/** The step before was the one that broke the weights: its own loss was still finite. */
function diverged(epoch: number, step: number, loss: number): TrainingError {
  return new TrainingError({
    where: `validation after step ${String(step)}, epoch ${String(epoch)}`,
    expected: 'a finite loss',
    got: String(loss),
    todo: 'Lower --lr, or clip gradients with --clip 1; the last saved checkpoint is untouched',
  });
}

function initialRecord(plan: RunPlan, executor: Executor, warmupSteps: number): RunRecord {
  const { setup, classes, preprocess, learningRate, smoothing, clip, epochs, seed, init } = plan;
  const { modelName, config, method, optimizer, pass, microBatches } = setup;
  return {
    model: { name: modelName, config },
    method: method.text,
    classes,
    preprocess,
    augment: plan.augmentName,
    optimizer: { name: optimizer.name, settings: optimizer.settings },
    learningRate,
    warmupSteps,
    smoothing,
    clip,
    batch: pass * microBatches,
    microBatches,
    epochs,
    seed,
    init,
    data: plan.data,
    executor: { name: executor.name, detail: executor.detail, threads: executor.threads },
    status: 'running',
    history: [],
  };
}
