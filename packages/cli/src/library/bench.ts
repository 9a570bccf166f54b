/** bench: how fast a training step or a forward pass is on this machine. */
import { checkNumbers } from './limits.js';
import {
  buildModel,
  compile,
  entryFlops,
  entryNamed,
  parseMethod,
  PLAIN_METHOD,
  plannedBytes,
  stepFlops,
  type ModelBuilder,
} from '@thimble/core';
import { profileSteps, timeSteps, type Profile, type StepTimes } from '../bench/measure.js';
import { Workload, type Work } from '../bench/workload.js';
import { Caller, type Hooks } from '../events/caller.js';
import { chooseModel } from '../source/choose.js';
import { DEFAULT_MODEL, type HubOptions } from '../source/options.js';
import { accessOf } from '../source/start.js';
import { checkStep, compileStep, cutText, givenKeys } from '../step/step.js';
import { fittedModel, type NamedModel } from '../weights/named-model.js';
import { noteVariance } from './plan.js';
import { STEP_DEFAULTS, type StepChoice } from './step.js';
import { executorFor, threadsFor, type ExecutorOptions, type LoadingEvent } from './work.js';

export interface BenchOptions extends ExecutorOptions, HubOptions, StepChoice {
  /** A preset, a file, a folder, a run, or `owner/name` on the hub; default `vit-micro`. */
  readonly model?: string;
  /** Outputs of the classifier; default: as the model was published. */
  readonly classes?: number;
  /** Steps to time, behind two to warm up; default 10. */
  readonly steps?: number;
  /** The forward pass alone; default: off. */
  readonly inference?: boolean;
  /** Also the time of each op beside the measured peaks; default: off. */
  readonly profile?: boolean;
}

export const BENCH_DEFAULTS = {
  ...STEP_DEFAULTS,
  model: DEFAULT_MODEL,
  steps: 10,
  inference: false,
  profile: false,
} as const satisfies BenchOptions;

type Keys = keyof typeof BENCH_DEFAULTS | 'threads';
type Settled = Omit<BenchOptions, Keys> & Required<Pick<BenchOptions, Keys>>;

export interface BenchResult {
  /** What was run, in one line. */
  readonly title: string;
  /** The same for programs: model, method, batch and the like. */
  readonly description: Readonly<Record<string, unknown>>;
  readonly batch: number;
  readonly inference: boolean;
  readonly executor: string;
  readonly executorDetail: string;
  readonly threads: number;
  /** Operations of one step. */
  readonly flops: number;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
  readonly times: StepTimes;
  readonly profile: Profile | null;
}

/** What is measured, and what to call it. */
interface Subject extends Work {
  readonly description: Readonly<Record<string, unknown>>;
  readonly title: string;
  readonly flops: number;
}

/**
 * Times a step on random weights and noise; nothing is written. Throws what `plan` throws, ExecutorError where the
 * executor cannot run here, and the reason of an aborted signal.
 */
export async function bench(
  options: BenchOptions = {},
  hooks: Hooks<LoadingEvent> = {},
): Promise<BenchResult> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const kind = await executorFor(options, caller);
  const settled = { ...BENCH_DEFAULTS, ...options, threads: threadsFor(options) };
  const { model: name, threads, steps, batch, inference } = settled;
  const access = accessOf(options, caller);
  // The speed is the same whatever the weights are.
  const { model: published } = await chooseModel({ model: name, init: 'random' }, name, access);
  caller.checkSignal();
  const model = fittedModel(published, options);
  if (!inference) {
    noteVariance(parseMethod(settled.method ?? PLAIN_METHOD, givenKeys(settled)), caller);
  }
  const subject = subjectOf(model, settled);
  const { flops, title, description, program } = subject;
  const workload = await Workload.load(kind, subject, threads);
  try {
    if (settled.profile) workload.requireProfile();
    const times = await timeSteps(workload, kind, { steps, flops }, caller.signal);
    const profile = settled.profile
      ? await profileSteps(workload, kind, steps, caller.signal)
      : null;
    const { executor } = workload;
    return {
      ...{ title, description, batch, inference, flops, times, profile },
      ...{ executor: executor.name, executorDetail: executor.detail, threads: executor.threads },
      plannedBytes: plannedBytes(program, executor.threads),
      arenaBytes: executor.arenaBytes,
    };
  } finally {
    await workload.close();
  }
}

function subjectOf(model: NamedModel, options: Settled): Subject {
  return options.inference ? forwardPass(model, options) : trainingStep(model, options);
}

function trainingStep(model: NamedModel, options: Settled): Subject {
  const step = compileStep(checkStep({ ...options, model }));
  const { program, config, method, saved, optimizer } = step;
  const how = { method: method.text, saved, optimizer: optimizer.name };
  return {
    ...{ program, optimizer, model: step.model, classes: config.classes },
    ...describe(model, options, how),
    flops: stepFlops(program),
  };
}

function forwardPass(model: NamedModel, options: Settled): Subject {
  const { batch } = options;
  const method = parseMethod(options.method ?? PLAIN_METHOD, givenKeys(options));
  const build: ModelBuilder = (images, mode) => buildModel(model.config, { batch: images, mode });
  const program = compile({ model: build, method, batch, evalBatch: batch });
  return {
    ...{ program, optimizer: null, classes: model.config.classes },
    ...describe(model, options, { method: method.text }),
    model: method.forward(build(1, 'eval')),
    flops: entryFlops(program, entryNamed(program, 'eval')),
  };
}

function describe(
  { name, config }: NamedModel,
  { batch, microBatches = 1, slices = 1, inference }: Settled,
  how: Readonly<Record<string, string>>,
): Pick<Subject, 'description' | 'title'> {
  const { imageSize, classes } = config;
  const passes = inference ? '' : cutText({ microBatches, slices });
  const parts = Object.entries(how).map(([key, is]) => (key === 'saved' ? `saved ${is}` : is));
  const size = `${String(imageSize)} px, ${String(classes)} classes`;
  return {
    description: {
      model: name,
      inference,
      ...how,
      batch,
      microBatches,
      slices,
      imageSize,
      classes,
    },
    title: `${name}, ${parts.join(', ')}, batch ${String(batch)}${passes}, ${size}`,
  };
}
