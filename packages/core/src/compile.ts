/**
 * compile: model + method + optimiser → Program. The whole pipeline in the order data passes through it.
 *
 *   model(batch, mode) → method.forward → frozen norms → narrow → differentiate → method.backward → form of saved tensors
 *     → slices → optimiser, with the method's rules → method.after → fold, fuse, prune → plan
 *
 * Entries of the result: those of the method, each with its cue; `step` (one optimiser step), or `micro` and
 * `apply` when `microBatches` > 1; and `eval` (logits only, its own batch size) unless `evalBatch` is 0.
 */
import { differentiate } from './autodiff.js';
import { ConfigError, GraphError } from './errors.js';
import { parameters, type Graph, type Mode, type ModelGraph } from './ir/graph.js';
import type { TrainGraph } from './ir/graph.js';
import { verify } from './ir/verify.js';
import { full } from './methods/full.js';
import { bind, type BoundMethod, type Carry } from './methods/method.js';
import { accumulateGradients, applyAccumulated, applyUpdates, withSums } from './optim/apply.js';
import type { Optimizer } from './optim/optimizer.js';
import type { UpdateRules } from './optim/rule.js';
import { OPS } from './ops/index.js';
import { deferred } from './passes/deferred.js';
import { fold } from './passes/fold.js';
import { freezeNorms } from './passes/frozen-norms.js';
import { fuse } from './passes/fuse.js';
import { narrow } from './passes/narrow.js';
import { prune } from './passes/prune.js';
import { saveAs, type SavedForm } from './passes/saved.js';
import { inSlices } from './passes/slices.js';
import { expectNoUpdates, withoutBufferUpdates } from './passes/updates.js';
import { plan, type EntryGraph } from './plan/plan.js';
import type { Program, Training } from './program.js';

/** A model as a function of the batch size, since shapes are static, and of what it is built for. */
export type ModelBuilder = (batch: number, mode: Mode) => ModelGraph;

/** What is turned into one program; without an optimiser, a program that only evaluates. */
export interface CompileOptions {
  readonly model: ModelBuilder;
  /** Default: full training. */
  readonly method?: BoundMethod;
  /** Absent: the program has no training entries. */
  readonly optimizer?: Optimizer;
  /** Images of one forward and backward pass. */
  readonly batch: number;
  /** Forward and backward passes whose gradients are averaged into one update; default 1. */
  readonly microBatches?: number;
  /** Groups of images in which a pass goes through each block, one after the other; default 1. */
  readonly slices?: number;
  /** Images of one evaluation call; default `batch`; 0 leaves evaluation out. */
  readonly evalBatch?: number;
  /** In which form tensors are saved for the backward pass; default: the method's, for most `exact`. */
  readonly saved?: SavedForm;
  /** Bound on the global gradient norm; absent: no clipping. */
  readonly clipNorm?: number;
  /** Called with every intermediate graph, for printing and for tests. */
  readonly trace?: (stage: Stage, entry: string, graph: Graph) => void;
}

/** The stages of the pipeline at which a graph can be looked at. */
export type Stage =
  | ('model' | 'method' | 'narrow' | 'gradient' | 'saved' | 'slices')
  | ('update' | 'fold' | 'fuse' | 'prune');

/**
 * Compiles a training (and evaluation) program. Throws ConfigError for impossible options, GraphError when
 * a pass breaks the graph, ShapeError when the model's shapes do not fit.
 *
 * @example
 * const program = compile({
 *   model: (batch, mode) => vit(config, { batch, mode }),
 *   method: parseMethod('last-k=2'),
 *   optimizer: sgd({ momentum: 0.9 }),
 *   batch: 16,
 * });
 */
export function compile(options: CompileOptions): Program {
  const { entries, training } = compiledParts(options);
  return plan(entries, training);
}

/**
 * The program of every phase of the method, for `Session.start`; one for most. Throws what `compile` throws,
 * before anything is trained.
 */
export function compilePhases(options: CompileOptions): readonly CompiledPhase[] {
  const { phases = [] } = options.method ?? {};
  return [
    { program: compile(options), from: 1 },
    ...phases.map(({ method, ...phase }) => ({
      ...phase,
      program: compile({ ...options, method }),
    })),
  ];
}

/** A program and the epoch from which on it trains. */
export interface CompiledPhase {
  readonly program: Program;
  /** From 1. */
  readonly from: number;
  /** How tensors of the phase before cross over; absent: as they are, where the types agree. */
  readonly carry?: Carry;
}

/** The method where none is given. */
function plainMethod(): BoundMethod {
  return bind(full, null);
}

/** The entries of `compile` as graphs, after all passes and before planning. */
export function compileGraphs(options: CompileOptions): readonly EntryGraph[] {
  return compiledParts(options).entries;
}

interface CompiledParts {
  readonly entries: readonly EntryGraph[];
  /** What the program says of its training; null without an optimiser. */
  readonly training: Training | null;
}

function compiledParts(options: CompileOptions): CompiledParts {
  const { batch, microBatches = 1, evalBatch = batch, optimizer } = options;
  checkCount('batch', batch, 1);
  checkCount('microBatches', microBatches, 1);
  checkCount('evalBatch', evalBatch, 0);
  const { entries, training } = optimizer
    ? trainingParts(options, optimizer, microBatches)
    : { entries: [], training: null };
  if (evalBatch === 0) return { entries, training };
  const { graph } = narrowed(options, 'eval', forward(options, evalBatch, 'eval', 'eval'), []);
  const { logits } = graph.outputs;
  const evaluation = finish(options, 'eval', { ...graph, outputs: { logits } });
  expectNoUpdates('eval', evaluation.graph);
  return { entries: [...entries, evaluation], training };
}

function trainingParts(
  options: CompileOptions,
  optimizer: Optimizer,
  microBatches: number,
): CompiledParts {
  const { batch, slices = 1, method = plainMethod(), clipNorm = null } = options;
  const saved = savedOf(options);
  const trace = options.trace ?? (() => undefined);
  const entry = microBatches > 1 ? 'micro' : 'step';
  if (clipNorm !== null && !(clipNorm > 0 && Number.isFinite(clipNorm))) {
    throw new ConfigError({
      where: 'clipNorm',
      expected: 'a finite number > 0',
      got: String(clipNorm),
      todo: 'Leave the option out for no clipping',
    });
  }
  checkSlices(batch, slices);
  const whole = forward(options, batch / slices, entry, 'train');
  // Inputs in Tucker form are compressed with ranks for all tokens.
  const model = narrowed(options, entry, whole, method.holds(whole));
  const passes = microBatches * slices;
  const plain = method.backward(differentiate(model.graph, 'loss', 1 / passes), model);
  trace('gradient', entry, plain.graph);
  checkTrainable(plain);
  // Blocks are recomputed: nothing that only the backward pass reads has to wait for it in every slice.
  const inOrder = slices > 1 && saved === 'smallest' ? deferred(plain) : plain;
  const one = saveAs(saved, inOrder, model.blocks);
  trace('saved', entry, one.graph);
  const cued = method.entries({ ...model, graph: withoutBufferUpdates(model.graph) }, optimizer);
  const rules: UpdateRules = {
    rule: (parameter) => method.rule(parameter, model),
    rate: (parameter) => method.rate(parameter, model),
  };
  const sliced = (train: TrainGraph): TrainGraph => {
    if (slices === 1) return train;
    const all = inSlices(train, slices, model.blocks);
    trace('slices', entry, all.graph);
    return all;
  };
  const updates = { optimizer, clipNorm, rules };
  const update = (name: string, graph: Graph) => finish(options, name, method.after(graph));
  const entries = [
    ...cued.map(({ name, graph }) => finish(options, name, graph)),
    ...(microBatches === 1
      ? [update(entry, applyUpdates(sliced(slices === 1 ? one : withSums(one, rules)), updates))]
      : [
          finish(options, entry, sliced(accumulateGradients(one, rules)).graph),
          update('apply', applyAccumulated(one, updates)),
        ]),
  ];
  const { name, settings } = optimizer;
  const training = {
    ...{ method: method.text, saved, batch, microBatches, slices },
    optimizer: { name, settings },
    clipNorm,
    cues: Object.fromEntries(cued.map(({ name: of, cue }) => [of, cue])),
    rates: ratesOf(one.graph, rules),
  };
  return { entries, training };
}

/** The factor of every rate group that a trained parameter is in. */
function ratesOf(graph: Graph, rules: UpdateRules): Training['rates'] {
  const trained = parameters(graph).filter(({ source }) => source.trainable);
  return Object.fromEntries(
    trained.flatMap((parameter) => {
      const group = rules.rate(parameter);
      return group ? [[group.name, group.factor] as const] : [];
    }),
  );
}

function savedOf({ saved, method }: CompileOptions): SavedForm {
  return saved ?? method?.saved ?? 'exact';
}

function forward(options: CompileOptions, batch: number, entry: string, mode: Mode): ModelGraph {
  const model = options.model(batch, mode);
  options.trace?.('model', entry, model.graph);
  const transformed = options.method?.forward(model) ?? model;
  options.trace?.('method', entry, transformed.graph);
  if (mode === 'eval') return transformed;
  return { ...transformed, graph: freezeNorms(transformed.graph) };
}

function narrowed(
  options: CompileOptions,
  entry: string,
  model: ModelGraph,
  whole: readonly string[],
): ModelGraph {
  const result = narrow(model, new Set(whole));
  options.trace?.('narrow', entry, result.graph);
  return result;
}

/** The passes that every entry goes through, verified at both ends. */
function finish(options: CompileOptions, name: string, graph: Graph): EntryGraph {
  const trace = options.trace ?? (() => undefined);
  trace('update', name, graph);
  verify(graph, OPS);
  const folded = fold(graph);
  trace('fold', name, folded);
  // What fold left dead must not count as a reader when fuse looks for the only one.
  const fused = fuse(prune(folded));
  trace('fuse', name, fused);
  const pruned = prune(fused);
  trace('prune', name, pruned);
  verify(pruned, OPS);
  return { name, graph: pruned };
}

function checkCount(option: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new ConfigError({
    where: option,
    expected: `a whole number ≥ ${String(least)}`,
    got: String(value),
    todo: 'Change the option',
  });
}

function checkSlices(batch: number, slices: number): void {
  checkCount('slices', slices, 1);
  if (batch % slices === 0) return;
  throw new ConfigError({
    where: 'slices',
    expected: `a divisor of the batch ${String(batch)}`,
    got: String(slices),
    todo: 'Change the batch or the number of slices',
  });
}

function checkTrainable(train: TrainGraph): void {
  const marked = parameters(train.graph).filter((parameter) => parameter.source.trainable);
  const missing = marked.find(
    ({ name, source }) =>
      !train.gradients.has(name) && !train.gradients.has(source.factor?.weight ?? ''),
  );
  if (marked.length > 0 && !missing) return;
  throw new GraphError({
    where: missing ? `parameter ${missing.name}` : 'training graph',
    expected: missing ? 'a path to the loss' : 'at least one trainable parameter',
    got: missing ? 'no gradient' : 'none',
    todo: 'Freeze what does not reach the loss, or choose a method that trains something',
  });
}
