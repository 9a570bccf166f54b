/**
 * Appends parameter updates to a training graph.
 *
 * Without clipping each update depends on its own gradient only, so the planner runs it as soon as the
 * gradient exists and frees the gradient at once: one gradient is live at a time. Global-norm clipping needs
 * the norm of all gradients before the first update, so all of them are live together; the plan shows it.
 * With micro-batches, gradients are summed into persistent accumulators (one per trainable parameter) by
 * `accumulate`, and `applyAccumulated` updates from them and clears them.
 */
import type { Graph, TrainGraph, Value } from '../ir/graph.js';
import { EMPTY_GRAPH, isParameter, outputValues } from '../ir/graph.js';
import { f32 } from '../ir/types.js';
import { accumulate as accumulateOp } from '../ops/accumulate.js';
import { GraphBuilder } from '../ops/builder.js';
import { clipScale } from '../ops/clip-scale.js';
import { fill } from '../ops/fill.js';
import { sumSquares } from '../ops/sum-squares.js';
import type { Optimizer } from './optimizer.js';

/** Updates every parameter that has a gradient; `clipNorm` bounds the global gradient norm. */
export function applyUpdates(
  train: TrainGraph,
  optimizer: Optimizer,
  clipNorm: number | null,
): Graph {
  const builder = new GraphBuilder(train.graph);
  const pairs = [...train.gradients].map(([name, id]) => ({
    parameter: parameterNamed(train.graph, name),
    gradient: train.graph.values[id],
  }));
  const norm = emitUpdates(builder, pairs, optimizer, clipNorm);
  return builder.build({ ...outputValues(train.graph), ...norm });
}

/** Adds every gradient to its accumulator `<parameter>.gradient`. */
export function accumulateGradients(train: TrainGraph): Graph {
  const builder = new GraphBuilder(train.graph);
  for (const [name, id] of train.gradients) {
    const x = train.graph.values[id];
    const acc = builder.state(accumulatorName(name), x.type);
    builder.emit(accumulateOp, { acc, x }, {}, `accumulate.${name}`);
  }
  return builder.build(outputValues(train.graph));
}

/** The graph that updates the parameters from their accumulators and clears these. */
export function applyAccumulated(
  train: TrainGraph,
  optimizer: Optimizer,
  clipNorm: number | null,
): Graph {
  const builder = new GraphBuilder(EMPTY_GRAPH);
  const pairs = [...train.gradients.keys()].map((name) => {
    const { type, source } = parameterNamed(train.graph, name);
    const parameter = builder.parameter(name, type, source);
    return { parameter, gradient: builder.state(accumulatorName(name), type) };
  });
  const norm = emitUpdates(builder, pairs, optimizer, clipNorm);
  for (const { parameter, gradient } of pairs) {
    builder.emit(fill, { x: gradient }, { value: 0 }, `clear.${parameter.name}`);
  }
  return builder.build(norm);
}

function accumulatorName(parameter: string): string {
  return `${parameter}.gradient`;
}

interface Pair {
  readonly parameter: Value;
  readonly gradient: Value;
}

function emitUpdates(
  builder: GraphBuilder,
  pairs: readonly Pair[],
  optimizer: Optimizer,
  clipNorm: number | null,
): Readonly<Record<string, Value>> {
  const inputs = optimizer.inputs(builder);
  if (clipNorm === null) {
    for (const { parameter, gradient } of pairs) {
      optimizer.update(builder, parameter, gradient, inputs, null);
    }
    return {};
  }
  let total = builder.constant(f32(), 0);
  for (const { parameter, gradient } of pairs) {
    const name = `clip.${parameter.name}`;
    total = builder.emit(sumSquares, { x: gradient, total }, {}, name).y;
  }
  const { scale } = builder.emit(clipScale, { total }, { maxNorm: clipNorm }, 'clip.scale');
  for (const { parameter, gradient } of pairs) {
    optimizer.update(builder, parameter, gradient, inputs, scale);
  }
  return { squaredGradientNorm: total };
}

function parameterNamed(graph: Graph, name: string) {
  const value = graph.values.filter(isParameter).find((candidate) => candidate.name === name);
  if (!value) throw new Error(`no parameter ${name}: gradients are keyed by parameter names`);
  return value;
}
