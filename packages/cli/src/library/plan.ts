/** plan: what a training step needs, before anything runs. */
import { checkNumbers } from './limits.js';
import {
  compileGraphs,
  lookUp,
  memoryReport,
  printGraph,
  printProgram,
  type BatchNormStatistics,
  type MemoryReport,
  type BoundMethod,
  type Program,
} from '@thimble/core';
import { Caller, type Hooks } from '../events/caller.js';
import { memoryChart } from '../memory/chart.js';
import { trainingTenants } from '../memory/map.js';
import { chooseModel } from '../source/choose.js';
import type { HubOptions } from '../source/options.js';
import { accessOf } from '../source/start.js';
import {
  checkStep,
  compileStep,
  cutText,
  parameterCounts,
  type CompiledStep,
} from '../step/step.js';
import { varianceNote } from '../training/explained-variance.js';
import { fittedModel } from '../weights/named-model.js';
import { STEP_DEFAULTS, type StepChoice } from './step.js';
import { threadsFor, type ExecutorOptions, type LoadingEvent } from './work.js';

export interface PlanOptions extends Pick<ExecutorOptions, 'threads'>, HubOptions, StepChoice {
  /** A preset, a file, a folder, a run, or `owner/name` on the hub. */
  readonly model: string;
  /** Outputs of the classifier; default: as the model was published. */
  readonly classes?: number;
}

/** What a training step needs. Every byte is exact: training allocates what the plan says. */
export interface PlanResult extends MemoryReport {
  readonly model: string;
  readonly method: string;
  /** Form of the tensors that are saved for the backward pass. */
  readonly saved: string;
  readonly optimizer: string;
  /** Images of one update, and how they are cut. */
  readonly batch: number;
  readonly microBatches: number;
  readonly slices: number;
  /** What batch norms normalise with in training; null: the model has none. */
  readonly batchNorm: BatchNormStatistics | null;
  readonly imageSize: number;
  readonly classes: number;
  readonly threads: number;
  /** Elements of all parameters, and of those that train. */
  readonly parameters: number;
  readonly trainable: number;
  /** `typical` where a method's ranks are not those of any weights; null without ranks. */
  readonly ranks: 'typical' | null;
  readonly largest: readonly LargeTensor[];
}

/** One of the largest tensors of a step. */
export interface LargeTensor {
  readonly name: string;
  readonly role: string;
  readonly bytes: number;
  /** First and last step at which it is live; null when it always is. */
  readonly live: string | null;
}

/** Tensors that are named. */
const TOP = 12;

/**
 * Plans a training step and runs nothing. Throws ConfigError and UnknownNameError for options that are impossible
 * or do not go together.
 */
export async function plan(
  options: PlanOptions,
  hooks: Hooks<LoadingEvent> = {},
): Promise<PlanResult> {
  return planOf(await planStep(options, hooks), threadsFor(options));
}

/** The step itself, compiled: for its text, its drawing, its program. Throws what `plan` throws. */
export async function planStep(
  options: PlanOptions,
  hooks: Hooks<LoadingEvent> = {},
): Promise<CompiledStep> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const { model: name } = options;
  const access = accessOf(options, caller);
  // A plan is the same whatever the weights are.
  const { model: published } = await chooseModel({ model: name, init: 'random' }, name, access);
  caller.checkSignal();
  const asked = { ...STEP_DEFAULTS, ...options, model: fittedModel(published, options) };
  const step = compileStep(checkStep(asked));
  noteVariance(step.method, caller);
  return step;
}

/** Without photos it is not known how many there will be. */
export function noteVariance(method: BoundMethod, caller: Caller<never>): void {
  const note = varianceNote(method);
  if (note !== null) caller.note('result', note);
}

/** What a step needs on so many threads. */
export function planOf(step: CompiledStep, threads: number): PlanResult {
  const { program, modelName: model, method, optimizer, config, pass, microBatches, slices } = step;
  return {
    model,
    method: method.text,
    saved: step.saved,
    optimizer: optimizer.name,
    batch: pass * microBatches,
    microBatches,
    slices,
    batchNorm: step.batchNorm,
    imageSize: config.imageSize,
    classes: config.classes,
    threads,
    ...memoryReport(program, threads),
    ...parameterCounts(step.model),
    ranks: method.probe === null ? null : 'typical',
    largest: largestTensors(program).slice(0, TOP),
  };
}

function largestTensors(program: Program): readonly LargeTensor[] {
  const map = trainingTenants(program);
  return [...map.tenants]
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ name, role, bytes, first, last, always }) => ({
      name,
      role,
      bytes,
      live: always ? null : `${String(first)}–${String(last)}`,
    }));
}

/** The text of a step: `graph` or `program`. Throws UnknownNameError for another form. */
export function stepText(step: CompiledStep, form: string): string {
  return lookUp('text form', form, PRINTERS)(step);
}

const PRINTERS: Readonly<Record<string, (step: CompiledStep) => string>> = {
  graph: (step) =>
    compileGraphs(step.compileOptions)
      .map(({ name, graph }) => `entry ${name}\n${printGraph(graph)}`)
      .join('\n'),
  program: (step) => printProgram(step.program),
};

/** The memory over the step as an SVG picture. */
export function stepChart(step: CompiledStep, threads: number): string {
  const { modelName: model, method, optimizer, pass, microBatches, program } = step;
  const batch = String(pass * microBatches) + cutText(step);
  const title = `${model}, ${method.text}, ${optimizer.name}, batch ${batch}`;
  return memoryChart(program, { title, threads });
}
