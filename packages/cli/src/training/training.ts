/**
 * One training run from compiled program to saved model: what `train` and `demo` share.
 *
 * Order: everything that can be refused is refused before the run folder is taken; the folder
 * proves that it can be written to before the first step; every good epoch is saved whole.
 */
import {
  cosine,
  DataError,
  ExecutorError,
  FileError,
  foundRanks,
  plannedBytes,
  Session,
  train,
  trainingBatchCount,
  TrainingError,
  type LoadReport,
  type TrainResult,
} from '@thimble/core';
import { watched } from '../data/source.js';
import { Buffers, Loader, type SkippedImage } from '../data/loader.js';
import { Garbage, returnFreedMemory } from '@thimble/native';
import { counted } from '../terminal/format.js';
import type { ExitSignal } from '../host/failure.js';
import { onInterrupt, type Interrupt } from '../host/interrupt.js';
import type { Output } from '../terminal/output.js';
import { Recorder } from './recorder.js';
import type { RanksFile } from '../run/ranks-file.js';
import { writtenForm } from '../run/form.js';
import { formOf, type RunSettings } from '../run/record.js';
import type { RunPlan } from './run-plan.js';
import { parameterCounts } from '../step/step.js';
import type { TrainingFolder } from './folder.js';
import { TrainingReport, type PlaceFields, type StartFields } from './report.js';

export interface RunOutcome {
  /** What a signal asks the command to end with; null without one. */
  readonly interrupted: ExitSignal | null;
  readonly summary: RunSummary;
  readonly skipped: readonly SkippedImage[];
}

/** The fields of the last JSON line; of the epochs, the last one counts. */
export interface RunSummary
  extends PlaceFields, Record<'accuracy' | 'loss' | 'trainLoss', number | null> {
  readonly steps: number;
  readonly msPerStep: number | null;
  readonly arenaBytes: number;
  readonly rssPeakBytes: number;
  /** --memory; null without. */
  readonly budgetBytes: number | null;
  readonly epochs: number;
  readonly bestAccuracy: number | null;
  readonly bestEpoch: number | null;
  readonly seconds: number;
  /** Of that, for saving the run. */
  readonly saveSeconds: number;
  /** Of that, waiting for images: time in which no thread trained. */
  readonly waitSeconds: number;
  readonly skipped: number;
}

/** Runs the plan. Throws what core throws; the run folder then keeps the last good checkpoint. */
export async function runTraining(plan: RunPlan, output: Output): Promise<RunOutcome> {
  const { step } = plan;
  // The error of a set smaller than a batch speaks of the whole batch, not of one micro-batch.
  trainingBatchCount(plan.settings.data.trainImages, plan.settings.batch);
  const session = await Session.start({
    ...{ phases: step.phases, kind: plan.kind, threads: plan.threads },
    ...{ optimizer: step.optimizer, seed: plan.settings.seed },
  });
  const loaders: Loader[] = [];
  try {
    sayLoaded(await plan.fill(session), plan, output);
    const buffers = new Buffers();
    const note = once((text) => {
      output.note(`thimble: ${text}`);
    });
    const training = openLoader(plan, 'train', buffers, note);
    loaders.push(training);
    const validation = openLoader(plan, 'evaluate', buffers, note);
    loaders.push(validation);
    return await recorded(plan, { session, training, validation }, output);
  } finally {
    await Promise.all(loaders.map((loader) => loader.close()));
    await session.dispose();
  }
}

/** Trains into the run's folder; from here on there is something to save. */
async function recorded(plan: RunPlan, loaded: Loaded, output: Output): Promise<RunOutcome> {
  const interrupt = onInterrupt('stopping after this step', (text) => {
    output.note(text);
  });
  try {
    const folder = plan.takeFolder();
    try {
      const recorder = new Recorder(plan, loaded.session, folder, loaded.training.batchCount);
      await recorder.start(interrupt.signal, isFactored(plan) ? ranksFile(plan) : null);
      return await loop(plan, { ...loaded, recorder, folder, interrupt }, output);
    } finally {
      folder.close();
    }
  } finally {
    interrupt.dispose();
  }
}

interface Loaded {
  readonly session: Session;
  readonly training: Loader;
  readonly validation: Loader;
}

interface Parts extends Loaded {
  readonly recorder: Recorder;
  readonly folder: TrainingFolder;
  readonly interrupt: Interrupt;
}

async function loop(plan: RunPlan, parts: Parts, output: Output): Promise<RunOutcome> {
  const { session, training, validation, recorder, interrupt } = parts;
  const { settings } = plan;
  const { epochs, learningRate } = settings;
  new Garbage().clear(); // what listing images and compiling left
  returnFreedMemory();
  const started = performance.now();
  const report = new TrainingReport(output, epochs, recorder.stepsPerEpoch);
  report.start(startFields(plan, parts));
  try {
    const result = await train({
      session,
      schedule: cosine({
        peak: learningRate,
        steps: Math.max(1, recorder.totalSteps),
        warmupSteps: recorder.record.warmupSteps,
      }),
      epochs,
      batches: (epoch, from) => training.epoch(epoch, from),
      validation: () => validation.epoch(0),
      signal: interrupt.signal,
      onEvent: async (event) => {
        if (event.event === 'epoch') await recorder.epoch(event, validation);
        else await recorder.step(event);
        report.event(event); // an epoch that is reported is saved
        await output.caughtUp(interrupt.signal);
      },
    });
    await recorder.finish(result);
    interrupt.dispose();
    if (!interrupt.exit) await plan.afterwards?.(session.executor);
    const skipped = [...training.skipped, ...validation.skipped];
    const seconds = (performance.now() - started) / 1000;
    const summary = summarise(plan, parts, result, seconds, skipped.length);
    return { interrupted: interrupt.exit, summary, skipped };
  } catch (error) {
    await recorder.fail();
    throw withRemains(error, settings, recorder.remains);
  } finally {
    report.stop();
  }
}

/** The error with what there is now: after hours, that is the first question. */
function withRemains(
  error: unknown,
  { learningRate, clip }: RunSettings,
  remains: string,
): unknown {
  if (error instanceof TrainingError) {
    const orClip = clip === null ? ', or clip gradients with --clip 1' : '';
    const todo = `Lower --lr, which was ${String(learningRate)}${orClip}`;
    return new TrainingError({ ...error.parts, todo: `${todo}; ${remains}` });
  }
  const Kind = [DataError, FileError, ExecutorError].find((kind) => error instanceof kind);
  if (!Kind || !(error instanceof Kind)) return error;
  return new Kind({ ...error.parts, todo: `${error.parts.todo}; ${remains}` });
}

function openLoader(
  plan: RunPlan,
  purpose: 'train' | 'evaluate',
  buffers: Buffers,
  onNote: (text: string) => void,
): Loader {
  const { augment, strict, loading, cache } = plan;
  const { preprocess, seed, cropSource = 'whole' } = plan.settings;
  const source = watched(purpose === 'train' ? plan.train : plan.validation);
  const batch = plan.step.pass;
  const images = { source, purpose, batch, seed, preprocess, augment, strict };
  const settings = { ...images, cropSource, levels: true, ...(cache && { cache }) };
  // The calling thread only waits while a step runs; validation always does without another.
  const { workers = 0 } = purpose === 'train' ? loading : {};
  return new Loader(settings, { ...loading, workers, buffers, onNote });
}

/** `say`, but the same text once. */
function once(say: (text: string) => void): (text: string) => void {
  const said = new Set<string>();
  return (text) => {
    if (!said.has(text)) say(text);
    said.add(text);
  };
}

function isFactored({ settings, step }: RunPlan): boolean {
  const ranks = foundRanks(settings.found);
  const found = Object.keys(ranks.weights).length + Object.keys(ranks.activations).length > 0;
  return found || step.method.probe !== null;
}

function ranksFile({ settings, tables }: RunPlan): RanksFile {
  const form = formOf(settings);
  return { ...writtenForm(form), ranks: foundRanks(form.found), tables };
}

function sayLoaded(report: LoadReport | null, plan: RunPlan, output: Output): void {
  if (!report) return;
  const { init, classes: names, model } = plan.settings;
  output.event('loaded', { from: init, ...report, ignored: plan.ignored });
  const classes = String(names.length);
  const replaced =
    report.replaced.length === 0
      ? ''
      : `; ${report.replaced.join(' and ')} start at zero for ${classes} classes`;
  const resized =
    report.resized.length === 0
      ? ''
      : `; ${report.resized.join(' and ')} resized to ${String(model.config.imageSize)} px`;
  const unused = [...report.unused, ...plan.ignored];
  const left = unused.length === 0 ? '' : `; unused: ${abridged(unused)}`;
  output.line(
    `Loaded ${String(report.loaded)} tensors of ${init ?? ''}${replaced}${resized}${left}`,
  );
}

/** The first few names. */
function abridged(names: readonly string[]): string {
  const more = names.length - SHOWN_NAMES;
  const shown = names.slice(0, SHOWN_NAMES).join(', ');
  return more > 0 ? `${shown} and ${counted(more, 'more tensor')}` : shown;
}

const SHOWN_NAMES = 5;

/** What both the first and the last line say of where a run happens. */
function placeFields({ step }: RunPlan, { session, folder }: Parts): PlaceFields {
  const { executor } = session;
  return {
    plannedBytes: plannedBytes(step.program, executor.threads),
    executor: executor.name,
    executorDetail: executor.detail,
    threads: executor.threads,
    run: folder.path,
  };
}

function startFields(plan: RunPlan, parts: Parts): StartFields {
  const { model, method, classes, preprocess, data, batch, learningRate, optimizer } =
    plan.settings;
  return {
    model: model.name,
    method,
    ...parameterCounts(plan.step.model),
    classes,
    preprocess,
    trainImages: data.trainImages,
    validationImages: data.validationImages,
    steps: parts.recorder.totalSteps,
    batch,
    learningRate,
    optimizer: optimizer.name,
    ...placeFields(plan, parts),
  };
}

function summarise(
  plan: RunPlan,
  parts: Parts,
  result: TrainResult,
  seconds: number,
  skipped: number,
): RunSummary {
  const { best, record } = parts.recorder;
  const last = record.history.at(-1);
  return {
    accuracy: last?.accuracy ?? null,
    loss: last?.loss ?? null,
    trainLoss: last?.trainLoss ?? null,
    steps: result.steps,
    msPerStep: Number.isFinite(result.msPerStep) ? result.msPerStep : null,
    arenaBytes: parts.session.executor.arenaBytes,
    rssPeakBytes: process.resourceUsage().maxRSS * 1024,
    budgetBytes: record.memory?.budget ?? null,
    epochs: record.history.length,
    bestAccuracy: best?.accuracy ?? null,
    bestEpoch: best?.epoch ?? null,
    seconds,
    saveSeconds: parts.recorder.saveSeconds,
    waitSeconds: result.waitSeconds,
    skipped,
    ...placeFields(plan, parts),
  };
}
