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
import type { Caller } from '../events/caller.js';
import { TimeLimit } from '../host/time-limit.js';
import { Recorder } from './recorder.js';
import type { RanksFile } from '../run/ranks-file.js';
import { writtenForm } from '../run/form.js';
import { formOf, type RunSettings } from '../run/record.js';
import type { RunPlan } from './run-plan.js';
import { parameterCounts } from '../step/step.js';
import type { TrainingFolder } from './folder.js';
import type { LoadedEvent, PlaceFields, RunEvent, StartEvent } from './events.js';

/** How a run ended. */
export interface RunOutcome {
  /** The caller's signal ended it, or its time is used up; then `resume` goes on from there. */
  readonly status: 'done' | 'interrupted' | 'outOfTime';
  readonly summary: RunSummary;
  readonly skipped: readonly SkippedImage[];
}

/** What came of a run; of the epochs, the last one counts. */
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

/**
 * Runs the plan. Throws what core throws, the run folder then keeping the last good checkpoint; and the reason of a
 * signal that aborts before there is a run.
 */
export async function runTraining(plan: RunPlan, caller: Caller<RunEvent>): Promise<RunOutcome> {
  const { step } = plan;
  // The error of a set smaller than a batch speaks of the whole batch, not of one micro-batch.
  trainingBatchCount(plan.settings.data.trainImages, plan.settings.batch);
  const session = await Session.start({
    ...{ phases: step.phases, kind: plan.kind, threads: plan.threads },
    ...{ optimizer: step.optimizer, seed: plan.settings.seed },
  });
  const loaders: Loader[] = [];
  try {
    const loaded = await plan.fill(session);
    if (loaded) caller.tell(loadedEvent(loaded, plan));
    const buffers = new Buffers();
    const note = once((text) => {
      caller.note('data', text);
    });
    const training = openLoader(plan, 'train', buffers, note);
    loaders.push(training);
    const validation = openLoader(plan, 'evaluate', buffers, note);
    loaders.push(validation);
    caller.checkSignal();
    return await recorded(plan, { session, training, validation }, caller);
  } finally {
    await Promise.all(loaders.map((loader) => loader.close()));
    await session.dispose();
  }
}

/** Trains into the run's folder; from here on there is something to save. */
async function recorded(
  plan: RunPlan,
  loaded: Loaded,
  caller: Caller<RunEvent>,
): Promise<RunOutcome> {
  let isWriting = true;
  const written = () => {
    if (isWriting) caller.tell({ event: 'written' });
    isWriting = false;
  };
  caller.tell({ event: 'writing' });
  try {
    const folder = plan.takeFolder();
    try {
      const recorder = new Recorder(plan, loaded.session, folder, loaded.training.batchCount);
      await recorder.start(caller.signal, isFactored(plan) ? ranksFile(plan) : null);
      return await loop(plan, { ...loaded, recorder, folder, written }, caller);
    } finally {
      folder.close();
    }
  } finally {
    written();
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
  /** Says that nothing is left to be saved. */
  readonly written: () => void;
}

async function loop(plan: RunPlan, parts: Parts, caller: Caller<RunEvent>): Promise<RunOutcome> {
  const { session, training, validation, recorder, written } = parts;
  const { signal } = caller;
  const { settings } = plan;
  const { epochs, learningRate } = settings;
  new Garbage().clear(); // what listing images and compiling left
  returnFreedMemory();
  const started = performance.now();
  caller.tell(startEvent(plan, parts));
  const limit = new TimeLimit(plan.timeMs);
  // What comes next is begun while the last batch before it runs, so that no thread waits for it.
  let following = 0;
  try {
    const result = await train({
      session,
      schedule: cosine({
        peak: learningRate,
        steps: Math.max(1, recorder.totalSteps),
        warmupSteps: recorder.record.warmupSteps,
      }),
      epochs,
      batches: (epoch, from) => {
        following = epoch + 1;
        return training.epoch(epoch, from, () => {
          validation.begin(0);
        });
      },
      validation: () =>
        validation.epoch(0, 0, () => {
          if (following < epochs) training.begin(following);
        }),
      signal: AbortSignal.any([signal, limit.signal]),
      onEvent: async (event) => {
        if (event.event === 'epoch') await recorder.epoch(event, validation);
        else await recorder.step(event);
        caller.tell(event);
        await caller.heard();
        limit.check();
      },
    });
    await recorder.finish(result);
    written();
    if (!signal.aborted) await plan.afterwards?.(session.executor);
    const skipped = [...training.skipped, ...validation.skipped];
    const seconds = (performance.now() - started) / 1000;
    const summary = summarise(plan, parts, result, seconds, skipped.length);
    const isCut = recorder.record.status === 'interrupted';
    const status = signal.aborted ? 'interrupted' : isCut ? 'outOfTime' : 'done';
    return { status, summary, skipped };
  } catch (error) {
    await recorder.fail();
    throw withRemains(error, settings, recorder.remains);
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

function loadedEvent(report: LoadReport, { settings, ignored }: RunPlan): LoadedEvent {
  const { init: from, classes, model } = settings;
  const { imageSize } = model.config;
  return { event: 'loaded', from, ...report, ignored, classes: classes.length, imageSize };
}

/** What both the start and the summary say of where a run happens. */
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

function startEvent(plan: RunPlan, parts: Parts): StartEvent {
  const { model, method, classes, preprocess, data, batch, learningRate, optimizer, epochs } =
    plan.settings;
  return {
    event: 'start',
    model: model.name,
    method,
    ...parameterCounts(plan.step.model),
    classes,
    preprocess,
    trainImages: data.trainImages,
    validationImages: data.validationImages,
    steps: parts.recorder.totalSteps,
    ...{ epochs, stepsPerEpoch: parts.recorder.stepsPerEpoch },
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
