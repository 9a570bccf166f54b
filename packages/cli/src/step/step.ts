/**
 * From options to a compiled program: what `train`, `plan` and `demo` share, so that the memory
 * that `plan` shows is what `train` allocates. Checking a step builds the model for one image; only
 * compiling makes a program of it, which takes seconds for a large model.
 */
import {
  buildModel,
  compilePhases,
  ConfigError,
  lookUp,
  OPTIMIZERS,
  parameters,
  parseMethod,
  PLAIN_METHOD,
  SAVED_FORMS,
  type BoundMethod,
  type CompiledPhase,
  type CompileOptions,
  type Mode,
  type ModelConfig,
  type ModelGraph,
  type Optimizer,
  type OptimizerOptions,
  type Program,
  type SavedForm,
} from '@thimble/core';
import type { NamedModel } from '../weights/named-model.js';

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
  readonly optimizer: string;
  readonly momentum?: number;
  readonly weightDecay?: number;
  /** Bound on the global gradient norm. */
  readonly clip?: number;
  readonly smoothing: number;
}

/** A step whose options are possible and go together. */
export interface TrainingStep {
  readonly modelName: string;
  readonly config: ModelConfig;
  readonly method: BoundMethod;
  readonly saved: SavedForm;
  readonly optimizer: Optimizer;
  /** Images of a micro-batch: the batch of the entries `step` or `micro`, and of `eval`. */
  readonly pass: number;
  readonly microBatches: number;
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
  const compileOptions = {
    model: (images: number, mode: Mode) => buildModel(config, { batch: images, mode, smoothing }),
    method,
    saved,
    optimizer,
    batch: pass,
    microBatches,
    ...(clip === undefined ? {} : { clipNorm: clip }),
  };
  const model = method.forward(buildModel(config, { batch: 1 }));
  const parts = { modelName, config, method, saved, optimizer, pass, microBatches };
  return { ...parts, model, compileOptions };
}

/** Throws what `compile` throws. */
export function compileStep(step: TrainingStep): CompiledStep {
  const phases = compilePhases(step.compileOptions);
  const { program } = phases.reduce((most, phase) =>
    phase.program.arenaBytes > most.program.arenaBytes ? phase : most,
  );
  return { ...step, phases, program };
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
  const { optimizer: name, momentum, weightDecay } = options;
  const make = lookUp<(settings: OptimizerOptions) => Optimizer>('optimizer', name, OPTIMIZERS);
  if (name !== 'sgd' && momentum !== undefined) {
    throw new ConfigError({
      where: '--momentum',
      expected: '--optimizer sgd',
      got: `--optimizer ${name}`,
      todo: 'Leave --momentum out',
    });
  }
  return make({
    ...(name === 'sgd' ? { momentum: momentum ?? DEFAULT_MOMENTUM } : {}),
    ...(weightDecay === undefined ? {} : { weightDecay }),
  });
}
