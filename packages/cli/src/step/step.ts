/**
 * From options to a compiled program: what `train`, `plan` and `demo` share, so that the memory
 * that `plan` shows is what `train` allocates. Checking a step builds the model for one image; only
 * compiling makes a program of it, which takes seconds for a large model.
 */
import {
  buildModel,
  compilePhases,
  ConfigError,
  defaultPreprocess,
  lookUp,
  OPTIMIZERS,
  parameters,
  parseMethod,
  PLAIN_METHOD,
  SAVED_FORMS,
  statisticsOf,
  type BatchNormStatistics,
  type BoundMethod,
  type CompiledPhase,
  type CompileOptions,
  type Mode,
  type ModelConfig,
  type ModelGraph,
  type MomentumBits,
  type Normalisation,
  type Optimizer,
  type OptimizerOptions,
  type Program,
  type SavedForm,
} from '@thimble/core';
import type { NamedModel } from '../weights/named-model.js';
import { defaultSlices } from './slices.js';

/** The options that decide the program of a training step. */
export interface StepOptions {
  /** With the classes and the image size to train with. */
  readonly model: NamedModel;
  /** `last-k=4`, as `parseMethod` reads it; default `full`. */
  readonly method?: string;
  /** Values for keys that the method's text leaves out. */
  readonly layers?: string;
  readonly truncation?: string;
  /** Form of the tensors saved for the backward pass; default `exact`. */
  readonly saved?: string;
  /** Images of one update. */
  readonly batch: number;
  /** Micro-batches into which an update's batch is cut; default 1. */
  readonly microBatches?: number;
  /** Slices in which a micro-batch goes through each block; default: see slices.ts. */
  readonly slices?: number;
  readonly optimizer: string;
  readonly momentum?: number;
  /** Of each element of a velocity; default 32. */
  readonly momentumBits?: MomentumBits;
  readonly weightDecay?: number;
  /** Bound on the global gradient norm. */
  readonly clip?: number;
  readonly smoothing: number;
  /** `batch` or `frozen`: what batch norms normalise with; default: `frozen` for few images in a micro-batch. */
  readonly batchNorm?: string;
  /**
   * How the model normalises its images, which are handed over as levels; default: the usual preprocessing, for
   * plans, which do not depend on it.
   */
  readonly levels?: Normalisation;
}

/** A step whose options are possible and go together. */
export interface TrainingStep {
  readonly modelName: string;
  readonly config: ModelConfig;
  readonly method: BoundMethod;
  readonly saved: SavedForm;
  /** What batch norms normalise with in training; null: the model has none. */
  readonly batchNorm: BatchNormStatistics | null;
  readonly optimizer: Optimizer;
  /** Images of a micro-batch: the batch of the entries `step` or `micro`, and of `eval`. */
  readonly pass: number;
  readonly microBatches: number;
  readonly slices: number;
  /** Images of a slice: what goes through the model at a time, to which Tucker ranks belong. */
  readonly sliceImages: number;
  /** Forward graph for one image, with the method's forms and its choice of what trains. */
  readonly model: ModelGraph;
  readonly compileOptions: CompileOptions;
}

export interface CompiledStep extends TrainingStep {
  /** A program for each phase of the method; one for most. */
  readonly phases: readonly CompiledPhase[];
  /** Of the phase that takes the most memory. */
  readonly program: Program;
}

/** Momentum of SGD when none is asked for. */
const DEFAULT_MOMENTUM = 0.9;

/** What was said of a method beside its text, by the keys of its options. */
export function givenKeys({
  layers,
  truncation,
}: Pick<StepOptions, 'layers' | 'truncation'>): Readonly<Record<string, string>> {
  return {
    ...(layers === undefined ? {} : { layers }),
    ...(truncation === undefined ? {} : { truncation }),
  };
}

/**
 * Throws ConfigError or UnknownNameError for options that are impossible or do not go together.
 *
 * @param method default: that of the options, with typical ranks where it needs any
 */
export function checkStep(
  options: StepOptions,
  method: BoundMethod = parseMethod(options.method ?? PLAIN_METHOD, givenKeys(options)),
): TrainingStep {
  const { model: named, batch, microBatches = 1, smoothing, clip } = options;
  const { levels = defaultPreprocess } = options;
  const { name: modelName, config } = named;
  const { form: saved } = lookUp<{ readonly form: SavedForm }>(
    'form of saved tensors',
    options.saved ?? method.saved ?? 'exact',
    SAVED_FORMS,
  );
  const optimizer = optimizerOf(options);
  if (batch % microBatches !== 0) {
    throw new ConfigError({
      where: '--micro-batches',
      expected: `a divisor of --batch ${String(batch)}`,
      got: String(microBatches),
      todo: 'Change one of the two',
    });
  }
  const pass = batch / microBatches;
  const model = method.forward(buildModel(config, { batch: 1 }));
  const batchNorm = batchNormOf(options, model, pass);
  // Statistics of a micro-batch are those of all its images, unless slices are asked for.
  const usual = batchNorm === 'batch' ? 1 : defaultSlices(method, saved, model, pass);
  const { slices = usual } = options;
  if (pass % slices !== 0) {
    throw new ConfigError({
      where: '--slices',
      expected: `a divisor of the ${String(pass)} images of a micro-batch`,
      got: String(slices),
      todo: 'Change it, --batch or --micro-batches',
    });
  }
  const statistics = batchNorm === null ? {} : { batchNorm };
  const compileOptions = {
    model: (images: number, mode: Mode) =>
      buildModel(config, { batch: images, mode, smoothing, levels, ...statistics }),
    method,
    saved,
    optimizer,
    batch: pass,
    microBatches,
    slices,
    ...(clip === undefined ? {} : { clipNorm: clip }),
  };
  const parts = { modelName, config, method, saved, batchNorm, optimizer };
  const cut = { pass, microBatches, slices, sliceImages: pass / slices };
  return { ...parts, ...cut, model, compileOptions };
}

const BATCH_NORM: { readonly [S in BatchNormStatistics]: { readonly statistics: S } } = {
  batch: { statistics: 'batch' },
  frozen: { statistics: 'frozen' },
};

/** Throws ConfigError where batch norms are spoken of that the model has not. */
function batchNormOf(
  { batchNorm: asked }: StepOptions,
  { graph }: ModelGraph,
  pass: number,
): BatchNormStatistics | null {
  const hasNorms = graph.nodes.some(({ op }) => op === 'batch_norm');
  const found =
    asked === undefined
      ? undefined
      : lookUp<{ readonly statistics: BatchNormStatistics }>('--batch-norm', asked, BATCH_NORM);
  if (hasNorms) return statisticsOf({ batch: pass, ...(found && { batchNorm: found.statistics }) });
  if (found === undefined) return null;
  throw new ConfigError({
    where: '--batch-norm',
    expected: 'a model with batch norm',
    got: 'one without',
    todo: 'Leave the option out',
  });
}

/** Throws what `compile` throws. */
export function compileStep(step: TrainingStep): CompiledStep {
  const phases = compilePhases(step.compileOptions);
  const { program } = phases.reduce((most, phase) =>
    phase.program.arenaBytes > most.program.arenaBytes ? phase : most,
  );
  return { ...step, phases, program };
}

/** ` in 2 micro-batches of 4 slices`, for behind the images of a batch; nothing where it is whole. */
export function cutText({
  microBatches,
  slices,
}: Pick<TrainingStep, 'microBatches' | 'slices'>): string {
  const sliced = slices > 1 ? `${String(slices)} slices` : '';
  if (microBatches === 1) return sliced && ` in ${sliced}`;
  return ` in ${String(microBatches)} micro-batches${sliced && ` of ${sliced}`}`;
}

/** Elements of all parameters, and of those that train. */
export function parameterCounts(model: ModelGraph): { parameters: number; trainable: number } {
  let all = 0;
  let trainable = 0;
  for (const { type, source } of parameters(model.graph)) {
    const count = type.shape.reduce((product, extent) => product * extent, 1);
    all += count;
    if (source.trainable) trainable += count;
  }
  return { parameters: all, trainable };
}

function optimizerOf(options: StepOptions): Optimizer {
  const { optimizer: name, momentum, momentumBits, weightDecay } = options;
  const make = lookUp<(settings: OptimizerOptions) => Optimizer>('optimizer', name, OPTIMIZERS);
  for (const [flag, given] of [
    ['--momentum', momentum],
    ['--momentum-bits', momentumBits],
  ] as const) {
    if (name === 'sgd' || given === undefined) continue;
    throw new ConfigError({
      where: flag,
      expected: '--optimizer sgd',
      got: `--optimizer ${name}`,
      todo: `Leave ${flag} out`,
    });
  }
  if (momentum === 0 && momentumBits === 8) {
    throw new ConfigError({
      where: '--momentum-bits',
      expected: '--momentum above 0 with 8 bits',
      got: '--momentum 0',
      todo: 'Leave one of the two out',
    });
  }
  return make({
    ...(name === 'sgd' ? { momentum: momentum ?? DEFAULT_MOMENTUM } : {}),
    ...(momentumBits === undefined ? {} : { momentumBits }),
    ...(weightDecay === undefined ? {} : { weightDecay }),
  });
}
