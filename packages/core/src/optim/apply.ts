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
import { InternalError } from '../errors.js';
import type { Gradient, Graph, Parameter, TrainGraph, Value } from '../ir/graph.js';
import { consumers, denseGradient, EMPTY_GRAPH, outputValues } from '../ir/graph.js';
import { parameters, producers } from '../ir/graph.js';
import { hoist, moveRunsBehind, type Run } from '../ir/order.js';
import { f32, type TensorType } from '../ir/types.js';
import { accumulate as accumulateOp } from '../ops/accumulate.js';
import { GraphBuilder } from '../ops/builder.js';
import { clipScale } from '../ops/clip-scale.js';
import { fill } from '../ops/fill.js';
import { sumSquares } from '../ops/sum-squares.js';
import { measured, sidesOf } from './low-rank.js';
import type { LowRankPair, PairGradient, Product, Sides } from './low-rank.js';
import type { Optimizer, OptimizerInputs } from './optimizer.js';
import { rateInput } from '../program.js';
import { DENSE_PART, PLAIN_RULES, type UpdateRule, type UpdateRules } from './rule.js';

/** How the gradients become updates. */
export interface UpdateOptions {
  readonly optimizer: Optimizer;
  /** Bound on the global gradient norm; null: none. */
  readonly clipNorm: number | null;
  /** Default: every parameter by the optimiser's own rule. */
  readonly rules?: UpdateRules;
}

/** Updates every parameter that has a gradient. */
export function applyUpdates(train: TrainGraph, options: UpdateOptions): Graph {
  return emitUpdates(train.graph, itemsOf(train, options.rules), options);
}

/** The train graph with every product turned into the gradients of its sides: what can be summed. */
export function withSums(train: TrainGraph, rules?: UpdateRules): TrainGraph {
  const gradients = new Map(train.gradients);
  const graph = extendedBehind(train.graph, itemsOf(train, rules), (builder, item) => {
    if (item.kind !== 'pair' || item.gradient.kind !== 'product') return;
    const { pair, gradient } = item;
    const sides = builder.scope(`gradient.${pair.weight}`, () => sidesOf(builder, pair, gradient));
    gradients.delete(pair.weight);
    gradients.set(pair.left.name, { kind: 'dense', value: sides.left.id });
    gradients.set(pair.right.name, { kind: 'dense', value: sides.right.id });
  });
  return { graph, gradients };
}

/**
 * Adds every gradient to its accumulator `<parameter>.gradient`, every part to one of its own: in the place
 * of gradients the result has none.
 */
export function accumulateGradients(train: TrainGraph, rules?: UpdateRules): TrainGraph {
  const summable = withSums(train, rules);
  const graph = extended(summable.graph, (builder) => {
    for (const item of itemsOf(summable, rules)) {
      for (const [name, part, x] of summandsOf(item)) accumulate(builder, name, part, x);
    }
    return {};
  });
  return { graph: hoist(graph, summable.graph.nodes.length), gradients: new Map() };
}

/** What an item's gradient adds to: parameter, part and value. */
function summandsOf(item: Item): readonly (readonly [string, string, Value])[] {
  if (item.kind === 'parameter') {
    const { parameter, parts } = item;
    return Object.entries(parts).map(([part, x]) => [parameter.name, part, x] as const);
  }
  const { pair, gradient } = item;
  if (gradient.kind === 'product') {
    throw InternalError.of(pair.weight, 'gradients of both sides', 'a product');
  }
  return [
    [pair.left.name, DENSE_PART, gradient.left],
    [pair.right.name, DENSE_PART, gradient.right],
  ];
}

/** The graph that updates the parameters from their accumulators and clears these. */
export function applyAccumulated(train: TrainGraph, options: UpdateOptions): Graph {
  const builder = new GraphBuilder(EMPTY_GRAPH);
  const accumulators = new Map<string, Value>();
  const summed = (name: string, type: TensorType, part: string): Value => {
    const sum = builder.state(`${name}.gradient${suffix(part)}`, type, 'gradient');
    accumulators.set(name + suffix(part), sum);
    return sum;
  };
  const declared = ({ name, type, source }: Parameter) => {
    const parameter = builder.parameter(name, type, source);
    return { parameter, gradient: summed(name, type, DENSE_PART) };
  };
  const stored = itemsOf(train, options.rules).map((item): Item => {
    if (item.kind === 'parameter') {
      const { name, type, source } = item.parameter;
      const parameter = builder.parameter(name, type, source);
      const sums = Object.entries(item.parts).map(
        ([part, x]) => [part, summed(name, x.type, part)] as const,
      );
      return { ...item, parameter, parts: Object.fromEntries(sums) };
    }
    const [left, right] = [declared(item.pair.left), declared(item.pair.right)];
    return {
      kind: 'pair',
      pair: { ...item.pair, left: left.parameter, right: right.parameter },
      gradient: { kind: 'sides', left: left.gradient, right: right.gradient },
    };
  });
  const updated = emitUpdates(builder.build({}), stored, options);
  return extended(updated, (last) => {
    for (const [name, x] of accumulators) last.emit(fill, { x }, { value: 0 }, `clear.${name}`);
    return {};
  });
}

function accumulate(builder: GraphBuilder, parameter: string, part: string, x: Value): void {
  const acc = builder.state(`${parameter}.gradient${suffix(part)}`, x.type, 'gradient');
  builder.emit(accumulateOp, { acc, x }, {}, `accumulate.${parameter}${suffix(part)}`);
}

function suffix(part: string): string {
  return part === DENSE_PART ? '' : `.${part}`;
}

/** What is updated at once: a parameter, or the two sides of a weight in low-rank form. */
type Item = ParameterItem | PairItem;

interface ParameterItem {
  readonly kind: 'parameter';
  readonly parameter: Parameter;
  readonly parts: Readonly<Record<string, Value>>;
  /** null: the optimiser's own. */
  readonly rule: UpdateRule | null;
}

interface PairItem {
  readonly kind: 'pair';
  readonly pair: LowRankPair;
  readonly gradient: Product | Sides;
}

/** Everything that has a gradient, in the order of the parameters. */
function itemsOf(train: TrainGraph, rules: UpdateRules = PLAIN_RULES): readonly Item[] {
  const all = parameters(train.graph);
  return all.flatMap((parameter): readonly Item[] => {
    if (parameter.source.factor?.form === 'low-rank') return pairItem(train, all, parameter);
    const gradient = train.gradients.get(parameter.name);
    if (gradient === undefined) return [];
    const parts = partsOf(train.graph, gradient, parameter.name);
    return [{ kind: 'parameter', parameter, parts, rule: rules.rule(parameter) }];
  });
}

function partsOf(
  { values }: Graph,
  gradient: Gradient,
  name: string,
): Readonly<Record<string, Value>> {
  switch (gradient.kind) {
    case 'dense':
      return { [DENSE_PART]: values[gradient.value] };
    case 'parts':
      return Object.fromEntries(
        Object.entries(gradient.parts).map(([part, id]) => [part, values[id]]),
      );
    case 'product':
      throw InternalError.of(name, 'a weight in low-rank form for a product', 'a dense one');
  }
  return gradient satisfies never;
}

/** The pair of which `parameter` is the left side, where it has a gradient. */
function pairItem(
  train: TrainGraph,
  all: readonly Parameter[],
  parameter: Parameter,
): readonly PairItem[] {
  const { name, source } = parameter;
  const { factor } = source;
  const { values } = train.graph;
  if (!factor || factor.side === 'right') return [];
  const product = train.gradients.get(factor.weight);
  const left = denseGradient(train, name);
  if (product === undefined && left === undefined) return [];
  const right = all.find(
    ({ source: { factor: other } }) =>
      other?.form === 'low-rank' && other.side === 'right' && other.weight === factor.weight,
  );
  if (!right) throw InternalError.of(factor.weight, 'both sides of a pair', 'the left one');
  const pair = { weight: factor.weight, left: parameter, right };
  if (product?.kind === 'product') {
    const gradient = { kind: 'product', p: values[product.p], q: values[product.q] } as const;
    return [{ kind: 'pair', pair, gradient }];
  }
  const other = denseGradient(train, right.name);
  if (left === undefined || other === undefined) {
    throw InternalError.of(factor.weight, 'a gradient of both sides, or a product', 'another');
  }
  const gradient = { kind: 'sides', left: values[left], right: values[other] } as const;
  return [{ kind: 'pair', pair, gradient }];
}

function emitUpdates(graph: Graph, items: readonly Item[], options: UpdateOptions): Graph {
  const { clipNorm } = options;
  const builder = new GraphBuilder(graph);
  const emitter = emitterOf(builder, items, options);
  const declared = builder.build(outputValues(graph));
  if (clipNorm !== null) {
    return extended(declared, (last) => emitClipped(last, items, emitter, clipNorm));
  }
  const isOneNode = (item: Item) => item.kind === 'parameter' && !item.rule;
  // What takes more than one node keeps its order, so it is placed right behind the gradient.
  const others = items.filter((item) => !isOneNode(item));
  const current = extendedBehind(declared, others, (last, item) => {
    emitter(last, item, null);
  });
  return extended(current, (last) => {
    for (const item of items) if (isOneNode(item)) emitter(last, item, null);
    return {};
  });
}

/** All updates behind the norm of all gradients, which it returns squared. */
function emitClipped(
  builder: GraphBuilder,
  items: readonly Item[],
  emitter: Emitter,
  clipNorm: number,
): Readonly<Record<string, Value>> {
  let total = builder.constant(f32(), 0);
  const add = (x: Value, name: string) => {
    total = builder.emit(sumSquares, { x, total }, {}, `clip.${name}`).y;
  };
  const known = items.map((item): Update => {
    if (item.kind === 'parameter') {
      for (const part of Object.values(item.parts)) add(part, item.parameter.name);
      return item;
    }
    const { gradient, parts } = measured(builder, item.pair, item.gradient);
    for (const part of parts) add(part, item.pair.weight);
    return { ...item, gradient };
  });
  const { scale } = builder.emit(clipScale, { total }, { maxNorm: clipNorm }, 'clip.scale');
  for (const item of known) emitter(builder, item, scale);
  return { squaredGradientNorm: total };
}

/** An item with its gradient in any form that updates take. */
type Update = ParameterItem | (Omit<PairItem, 'gradient'> & { readonly gradient: PairGradient });

type Emitter = (builder: GraphBuilder, item: Update, scale: Value | null) => void;

/** Declares the optimiser's inputs, a learning rate for each rate group, and says how to update an item. */
function emitterOf(
  declaring: GraphBuilder,
  items: readonly Item[],
  { optimizer, rules = PLAIN_RULES }: UpdateOptions,
): Emitter {
  const inputs = optimizer.inputs(declaring);
  const groups = new Map<string, OptimizerInputs>();
  for (const item of items) {
    const { name } = rules.rate(trainedBy(item)) ?? {};
    if (name === undefined || groups.has(name)) continue;
    groups.set(name, { ...inputs, lr: declaring.input(rateInput(name), f32()) });
  }
  const inputsOf = (item: Update) => groups.get(rules.rate(trainedBy(item))?.name ?? '') ?? inputs;
  return (builder, item, scale) => {
    if (item.kind === 'pair') {
      optimizer.updatePair(builder, item.pair, item.gradient, inputsOf(item), scale);
      return;
    }
    const { parameter, parts, rule } = item;
    if (!rule) optimizer.update(builder, parameter, parts[DENSE_PART], inputsOf(item), scale);
    else {
      builder.scope(`update.${parameter.name}`, () => {
        rule.update(builder, { parameter, parts, optimizer, inputs: inputsOf(item), scale });
      });
    }
  };
}

function trainedBy(item: Update): Parameter {
  return item.kind === 'pair' ? item.pair.left : item.parameter;
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

/**
 * The same for every item, right behind the nodes that make its gradient and those that read what it updates;
 * what is appended for one item reads nothing that is appended for another.
 */
function extendedBehind(
  graph: Graph,
  items: readonly Item[],
  body: (builder: GraphBuilder, item: Item) => void,
): Graph {
  const producer = producers(graph);
  const reader = consumers(graph);
  const builder = new GraphBuilder(graph);
  const runs = items.map((item): Run => {
    const start = builder.nodeCount;
    body(builder, item);
    const at = Math.max(
      -1,
      ...gradientValues(item).map(({ id }) => producer.get(id) ?? -1),
      ...updatedParameters(item).flatMap(({ id }) => reader.get(id) ?? []),
    );
    return { start, at };
  });
  return moveRunsBehind(builder.build(outputValues(graph)), runs);
}

function gradientValues(item: Item): readonly Value[] {
  if (item.kind === 'parameter') return Object.values(item.parts);
  const { gradient } = item;
  return gradient.kind === 'product' ? [gradient.p, gradient.q] : [gradient.left, gradient.right];
}

function updatedParameters(item: Item): readonly Parameter[] {
  return item.kind === 'parameter' ? [item.parameter] : [item.pair.left, item.pair.right];
}
