/**
 * Reverse-mode automatic differentiation of a graph, at compile time.
 *
 * A node gets gradient nodes only if some trainable parameter flows into it and the loss depends on it, so
 * a frozen tensor has no gradient node at all and saves nothing: what must be kept for the backward pass is
 * decided by which forward values the gradient nodes read.
 *
 * Reference: Griewank & Walther, Evaluating Derivatives, 2nd ed., chapter 3 (adjoint accumulation).
 */
import { GraphError } from './errors.js';
import { ancestors, isParameter, outputValues } from './ir/graph.js';
import type { Gradient, Graph, Node, TrainGraph, Value, ValueId } from './ir/graph.js';
import { add } from './ops/add.js';
import { GraphBuilder } from './ops/builder.js';
import { opNamed } from './ops/index.js';
import { isOptional, operandName } from './ops/op.js';

/**
 * Appends dL/dp for every trainable parameter p, where L is `graph.outputs[loss]`, a scalar.
 *
 * @param scale dL/dL: 1, or 1/k when the gradients of k micro-batches are summed.
 * Throws GraphError when the loss is no scalar or an op on the way has no gradient.
 *
 * @example
 * const train = differentiate(model.graph, 'loss');
 * denseGradient(train, 'head.weight'); // value id of dL/d(head.weight)
 */
export function differentiate(graph: Graph, loss: string, scale = 1): TrainGraph {
  const lossValue = scalarOutput(graph, loss);
  const builder = new GraphBuilder(graph);
  const seed = builder.constant(lossValue.type, scale);
  const wanted = graph.values.filter((value) => isParameter(value) && value.source.trainable);
  const adjoints = propagate(graph, builder, [{ of: lossValue, seed }], wanted);
  const gradients = new Map<string, Gradient>();
  for (const value of graph.values) {
    const gradient = adjoints.get(value.id);
    if (isParameter(value) && gradient) {
      gradients.set(value.name, { kind: 'dense', value: gradient.id });
    }
  }
  return { graph: builder.build(outputValues(graph)), gradients };
}

/** dL/d(of) where it is known: an input of the graph, or a constant. */
export interface Seed {
  readonly of: Value;
  readonly seed: Value;
}

/**
 * Appends dL/dv for every value of `wanted`, leaves or results of nodes, given dL/dvalue for those of
 * `seeds`: vector times Jacobian, for a part of a model whose loss lies outside of it.
 *
 * @returns the graph with the same outputs, and each gradient's value; a value of `wanted` that reaches no
 *   seed has none.
 *
 * @example
 * const { graph, gradients } = backpropagate(block, [{ of: y, seed: dy }], [x]);
 */
export function backpropagate(
  graph: Graph,
  seeds: readonly Seed[],
  wanted: readonly Value[],
): { readonly graph: Graph; readonly gradients: ReadonlyMap<ValueId, ValueId> } {
  const builder = new GraphBuilder(graph);
  const adjoints = propagate(graph, builder, seeds, wanted);
  const gradients = new Map<ValueId, ValueId>();
  for (const { id } of wanted) {
    const gradient = adjoints.get(id);
    if (gradient) gradients.set(id, gradient.id);
  }
  return { graph: builder.build(outputValues(graph)), gradients };
}

function propagate(
  graph: Graph,
  builder: GraphBuilder,
  seeds: readonly Seed[],
  wanted: readonly Value[],
): Adjoints {
  const active = activeValues(
    graph,
    wanted,
    seeds.map(({ of }) => of.id),
  );
  const adjoints = new Adjoints(builder);
  for (const { of, seed } of seeds) adjoints.add(of, seed);
  for (const node of [...graph.nodes].reverse()) {
    if (!Object.values(node.outputs).some((id) => active.has(id))) continue;
    differentiateNode(graph, node, active, builder, adjoints);
  }
  return adjoints;
}

/** dL/dvalue so far; several consumers of a value add up. */
class Adjoints {
  private readonly sums = new Map<ValueId, Value>();
  private readonly builder: GraphBuilder;

  constructor(builder: GraphBuilder) {
    this.builder = builder;
  }

  get(id: ValueId): Value | undefined {
    return this.sums.get(id);
  }

  add(of: Value, gradient: Value): void {
    const sum = this.sums.get(of.id);
    this.sums.set(
      of.id,
      sum ? this.builder.emit(add, { a: sum, b: gradient }, {}, `grad.${of.name}.sum`).y : gradient,
    );
  }
}

/** Values that `wanted` flow through on their way to `seeds`, both included. */
function activeValues(
  graph: Graph,
  wanted: readonly Value[],
  seeds: readonly ValueId[],
): ReadonlySet<ValueId> {
  const fromWanted = new Set<ValueId>(wanted.map(({ id }) => id));
  for (const node of graph.nodes) {
    if (!Object.values(node.inputs).some((id) => fromWanted.has(id))) continue;
    for (const id of Object.values(node.outputs)) fromWanted.add(id);
  }
  const toSeeds = ancestors(graph, seeds);
  return new Set([...fromWanted].filter((id) => toSeeds.has(id)));
}

function differentiateNode(
  graph: Graph,
  node: Node,
  active: ReadonlySet<ValueId>,
  builder: GraphBuilder,
  adjoints: Adjoints,
): void {
  const op = opNamed(node.op);
  const outputGrads: Record<string, Value> = {};
  for (const [key, id] of Object.entries(node.outputs)) {
    const gradient = adjoints.get(id);
    if (gradient) outputGrads[key] = gradient;
  }
  if (Object.keys(outputGrads).length === 0) return;
  if (!op.grad) {
    throw new GraphError({
      where: node.name,
      expected: 'an op with a gradient between a trainable parameter and the loss',
      got: node.op,
      todo: 'Freeze what is below it, or give the op a grad',
    });
  }
  const values = (operands: Node['inputs']) =>
    Object.fromEntries(Object.entries(operands).map(([key, id]) => [key, graph.values[id]]));
  const inputs = values(node.inputs);
  const gradients = builder.scope(`grad.${node.name}`, () =>
    op.grad?.({
      emitter: builder,
      params: node.params,
      inputs,
      outputs: values(node.outputs),
      outputGrads,
      needs: (input) => input in inputs && active.has(inputs[input].id),
    }),
  );
  for (const declared of op.inputs) {
    const key = operandName(declared);
    const gradient = gradients?.[key];
    if (isOptional(declared) && !(key in inputs)) continue;
    if (gradient && active.has(inputs[key].id)) adjoints.add(inputs[key], gradient);
  }
}

function scalarOutput(graph: Graph, name: string): Value {
  const outputs: Readonly<Record<string, ValueId | undefined>> = graph.outputs;
  const id = outputs[name];
  const value = id === undefined ? undefined : graph.values[id];
  if (value?.type.dtype === 'f32' && value.type.shape.length === 0) return value;
  throw new GraphError({
    where: `output ${name}`,
    expected: 'a scalar f32 output to differentiate',
    got: value ? `f32[${value.type.shape.join(',')}]` : 'no such output',
    todo: 'Give the model a scalar loss',
  });
}
