/**
 * Appends parameter updates to a training graph.
 *
 * Without clipping each update depends on its own gradient only, so the planner runs it as soon as the
 * gradient exists and frees the gradient at once: one gradient is live at a time. Global-norm clipping
 * needs the norm of all gradients before the first update, so all of them are live together; the plan
 * shows it. With micro-batches, gradients are summed into persistent accumulators (one per trainable
 * parameter) by `accumulateGradients`, and `applyAccumulated` updates from them and clears them.
 *
 * The two sides of a weight in low-rank form are updated together (low-rank.ts). What that computes is
 * more than one node, and the planner keeps the order of such, so it is placed behind the backward pass
 * of its layer here.
 */
import { ConfigError, InternalError } from '../errors.js';
import type { Graph, Parameter, TrainGraph, Value, ValueId } from '../ir/graph.js';
import { consumers, EMPTY_GRAPH, outputValues, parameters, producers } from '../ir/graph.js';
import { moveBehind } from '../ir/order.js';
import { f32 } from '../ir/types.js';
import { accumulate as accumulateOp } from '../ops/accumulate.js';
import { GraphBuilder } from '../ops/builder.js';
import { clipScale } from '../ops/clip-scale.js';
import { fill } from '../ops/fill.js';
import { sumSquares } from '../ops/sum-squares.js';
import { measured, sidesOf } from './low-rank.js';
import type { LowRankPair, PairGradient, Product, Sides } from './low-rank.js';
import type { Optimizer, OptimizerInputs } from './optimizer.js';

/** Updates every parameter that has a gradient; `clipNorm` bounds the global gradient norm. */
export function applyUpdates(
  train: TrainGraph,
  optimizer: Optimizer,
  clipNorm: number | null,
): Graph {
  return emitUpdates(train.graph, itemsOf(train), optimizer, clipNorm);
}

/** Adds every gradient to its accumulator `<parameter>.gradient`. */
export function accumulateGradients(train: TrainGraph): Graph {
  const items = itemsOf(train);
  let { graph } = train;
  for (const item of items) {
    if (item.kind !== 'pair') continue;
    const { pair, gradient } = item;
    graph = extendedBehind(graph, item, (builder) => {
      const sides = builder.scope(`gradient.${pair.weight}`, () =>
        gradient.kind === 'product' ? sidesOf(builder, pair, gradient) : gradient,
      );
      accumulate(builder, pair.left, sides.left);
      accumulate(builder, pair.right, sides.right);
      return {};
    });
  }
  return extended(graph, (builder) => {
    for (const item of items) {
      if (item.kind === 'parameter') accumulate(builder, item.parameter, item.gradient);
    }
    return {};
  });
}

/** The graph that updates the parameters from their accumulators and clears these. */
export function applyAccumulated(
  train: TrainGraph,
  optimizer: Optimizer,
  clipNorm: number | null,
): Graph {
  const builder = new GraphBuilder(EMPTY_GRAPH);
  const accumulators = new Map<string, Value>();
  const declared = ({ name, type, source }: Parameter) => {
    const parameter = builder.parameter(name, type, source);
    const gradient = builder.state(accumulatorName(name), type);
    accumulators.set(name, gradient);
    return { parameter, gradient };
  };
  const stored = itemsOf(train).map((item): Item => {
    if (item.kind === 'parameter') return { ...item, ...declared(item.parameter) };
    const [left, right] = [declared(item.pair.left), declared(item.pair.right)];
    return {
      kind: 'pair',
      pair: { ...item.pair, left: left.parameter, right: right.parameter },
      gradient: { kind: 'sides', left: left.gradient, right: right.gradient },
    };
  });
  const updated = emitUpdates(builder.build({}), stored, optimizer, clipNorm);
  return extended(updated, (last) => {
    for (const [name, x] of accumulators) last.emit(fill, { x }, { value: 0 }, `clear.${name}`);
    return {};
  });
}

function accumulatorName(parameter: string): string {
  return `${parameter}.gradient`;
}

function accumulate(builder: GraphBuilder, { name }: Value, x: Value): void {
  const acc = builder.state(accumulatorName(name), x.type);
  builder.emit(accumulateOp, { acc, x }, {}, `accumulate.${name}`);
}

/** What is updated at once: a parameter, or the two sides of a weight in low-rank form. */
type Item = ParameterItem | PairItem;

interface ParameterItem {
  readonly kind: 'parameter';
  readonly parameter: Parameter;
  readonly gradient: Value;
}

interface PairItem {
  readonly kind: 'pair';
  readonly pair: LowRankPair;
  readonly gradient: Product | Sides;
}

/** Everything that has a gradient, in the order of the parameters. */
function itemsOf({ graph, gradients, products }: TrainGraph): readonly Item[] {
  const all = parameters(graph);
  const value = (id: ValueId | undefined, what: string): Value => {
    if (id === undefined) throw InternalError.of(what, 'a gradient', 'none');
    return graph.values[id];
  };
  return all.flatMap((parameter): readonly Item[] => {
    const { name, source } = parameter;
    const { factor } = source;
    if (factor?.form !== 'low-rank') {
      const gradient = gradients.get(name);
      return gradient === undefined
        ? []
        : [{ kind: 'parameter', parameter, gradient: graph.values[gradient] }];
    }
    const product = products.get(factor.weight);
    if (factor.side === 'right' || !(product || gradients.has(name))) return [];
    const right = all.find(
      ({ source: { factor: other } }) =>
        other?.form === 'low-rank' && other.side === 'right' && other.weight === factor.weight,
    );
    if (!right) throw InternalError.of(factor.weight, 'both sides of a pair', 'the left one');
    const gradient = product
      ? ({ kind: 'product', p: graph.values[product.p], q: graph.values[product.q] } as const)
      : ({
          kind: 'sides',
          left: value(gradients.get(name), name),
          right: value(gradients.get(right.name), right.name),
        } as const);
    return [{ kind: 'pair', pair: { weight: factor.weight, left: parameter, right }, gradient }];
  });
}

function emitUpdates(
  graph: Graph,
  items: readonly Item[],
  optimizer: Optimizer,
  clipNorm: number | null,
): Graph {
  checkUpdates(graph, optimizer);
  const builder = new GraphBuilder(graph);
  const inputs = optimizer.inputs(builder);
  let current = builder.build(outputValues(graph));
  if (clipNorm !== null) {
    return extended(current, (last) => emitClipped(last, items, optimizer, inputs, clipNorm));
  }
  for (const item of items) {
    if (item.kind !== 'pair') continue;
    current = extendedBehind(current, item, (last) => {
      emitUpdate(last, item, optimizer, inputs, null);
      return {};
    });
  }
  return extended(current, (last) => {
    for (const item of items) {
      if (item.kind === 'parameter') emitUpdate(last, item, optimizer, inputs, null);
    }
    return {};
  });
}

/** All updates behind the norm of all gradients, which it returns squared. */
function emitClipped(
  builder: GraphBuilder,
  items: readonly Item[],
  optimizer: Optimizer,
  inputs: OptimizerInputs,
  clipNorm: number,
): Readonly<Record<string, Value>> {
  let total = builder.constant(f32(), 0);
  const add = (x: Value, name: string) => {
    total = builder.emit(sumSquares, { x, total }, {}, `clip.${name}`).y;
  };
  const known = items.map((item): Update => {
    if (item.kind === 'parameter') {
      add(item.gradient, item.parameter.name);
      return item;
    }
    const { gradient, parts } = measured(builder, item.pair, item.gradient);
    for (const part of parts) add(part, item.pair.weight);
    return { ...item, gradient };
  });
  const { scale } = builder.emit(clipScale, { total }, { maxNorm: clipNorm }, 'clip.scale');
  for (const item of known) emitUpdate(builder, item, optimizer, inputs, scale);
  return { squaredGradientNorm: total };
}

/** An item with its gradient in any form that updates take. */
type Update = ParameterItem | (Omit<PairItem, 'gradient'> & { readonly gradient: PairGradient });

function emitUpdate(
  builder: GraphBuilder,
  item: Update,
  optimizer: Optimizer,
  inputs: OptimizerInputs,
  scale: Value | null,
): void {
  if (item.kind === 'parameter') {
    optimizer.update(builder, item.parameter, item.gradient, inputs, scale);
  } else {
    optimizer.updatePair?.(builder, item.pair, item.gradient, inputs, scale);
  }
}

/** Throws ConfigError when the optimiser cannot update what trains in `graph`: pairs ask for a rule. */
export function checkUpdates(graph: Graph, optimizer: Optimizer): void {
  const pairs = parameters(graph).filter(
    ({ source: { trainable, factor } }) =>
      trainable && factor?.form === 'low-rank' && factor.side === 'left',
  ).length;
  if (pairs === 0 || optimizer.updatePair) return;
  throw new ConfigError({
    where: `optimizer ${optimizer.name}`,
    expected: 'an optimizer that can train weights in low-rank form',
    got: `${String(pairs)} such weights`,
    todo: 'Use sgd, or a method that keeps weights dense; the adapters of lora train with any',
  });
}

/** The graph with what `body` appends; the values that it returns become outputs. */
function extended(
  graph: Graph,
  body: (builder: GraphBuilder) => Readonly<Record<string, Value>>,
): Graph {
  const builder = new GraphBuilder(graph);
  const more = body(builder);
  return builder.build({ ...outputValues(graph), ...more });
}

/** The same, right behind the nodes that make the pair's gradient and those that read the pair. */
function extendedBehind(
  graph: Graph,
  { pair, gradient }: PairItem,
  body: (builder: GraphBuilder) => Readonly<Record<string, Value>>,
): Graph {
  const producer = producers(graph);
  const reader = consumers(graph);
  const sources =
    gradient.kind === 'product' ? [gradient.p, gradient.q] : [gradient.left, gradient.right];
  const at = Math.max(
    -1,
    ...sources.map(({ id }) => producer.get(id) ?? -1),
    ...[pair.left, pair.right].flatMap(({ id }) => reader.get(id) ?? []),
  );
  return moveBehind(extended(graph, body), graph.nodes.length, at);
}
