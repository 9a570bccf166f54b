/**
 * The verifier: is this a legal graph? Every compile runs it before and after the passes.
 *
 * The table of legal nodes is the op registry, seen through `OpSignatures` so that ir/ imports nothing.
 * A failure throws GraphError with the offending node printed.
 */
import { GraphError } from '../errors.js';
import type { Graph, Node, Params, Value, ValueId } from './graph.js';
import { contentsFault } from './host.js';
import { printNode } from './print.js';
import { sameType, typeText, type TensorType } from './types.js';

/** What the verifier needs to know of an op. */
export interface OpSignature {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly updates?: readonly (readonly [output: string, input: string])[];
  readonly view?: readonly [output: string, input: string];
  infer(
    types: Readonly<Record<string, TensorType>>,
    params: Params,
    at: string,
  ): Readonly<Record<string, TensorType>>;
}

export type OpSignatures = Readonly<Record<string, OpSignature | undefined>>;

/** Throws GraphError for the first rule that `graph` breaks. */
export function verify(graph: Graph, ops: OpSignatures): void {
  checkValues(graph);
  const defined = new Set<ValueId>();
  for (const value of graph.values) if (value.source.kind !== 'node') defined.add(value.id);
  /** Old values of parameters and states, dead once an update has run. */
  const overwritten = new Map<ValueId, string>();
  /** The value whose memory a view shows. */
  const viewed = new Map<ValueId, ValueId>();
  const memory = (id: ValueId) => viewed.get(id) ?? id;
  const names = new Set<string>();
  for (const node of graph.nodes) {
    const op = ops[node.op];
    if (!op) fail(graph, node, 'an op of the registry', `op "${node.op}"`);
    if (names.has(node.name)) fail(graph, node, 'a unique node name', `"${node.name}" twice`);
    names.add(node.name);
    checkOperands(graph, node, op.inputs, node.inputs);
    checkOperands(graph, node, op.outputs, node.outputs);
    checkReads(graph, node, defined, (id) => overwritten.get(memory(id)));
    checkTypes(graph, node, op);
    for (const id of Object.values(node.outputs)) {
      if (defined.has(id)) fail(graph, node, 'each value produced once', valueName(graph, id));
      defined.add(id);
    }
    for (const [, input] of op.updates ?? []) {
      const id = node.inputs[input];
      if (id === undefined) continue;
      checkUpdate(graph, node, memory(id));
      overwritten.set(memory(id), node.name);
    }
    if (op.view) viewed.set(node.outputs[op.view[0]], memory(node.inputs[op.view[1]]));
  }
  checkOutputs(graph, defined, (id) => overwritten.get(memory(id)));
}

/** What the host reads is there at the end. */
function checkOutputs(
  graph: Graph,
  defined: ReadonlySet<ValueId>,
  writerOf: (id: ValueId) => string | undefined,
): void {
  for (const [name, id] of Object.entries(graph.outputs)) {
    const where = `output ${name}`;
    if (!defined.has(id)) {
      throw new GraphError({
        where,
        expected: 'a value that some node produces',
        got: valueName(graph, id),
        todo: 'Report this: a pass dropped a live node',
      });
    }
    const writer = writerOf(id);
    if (writer === undefined) continue;
    throw new GraphError({
      where,
      expected: 'a value that is there at the end',
      got: `${valueName(graph, id)}, written over by ${writer}`,
      todo: 'Make the new value the output',
    });
  }
}

function checkValues(graph: Graph): void {
  const names = new Set<string>();
  graph.values.forEach((value, index) => {
    if (value.id !== index || names.has(value.name)) {
      throw new GraphError({
        where: `value ${value.name}`,
        expected: 'ids that index the table and unique names',
        got:
          value.id === index
            ? 'a second value of that name'
            : `id ${String(value.id)} at ${String(index)}`,
        todo: 'Build graphs through GraphBuilder',
      });
    }
    names.add(value.name);
    checkInitial(value);
    checkTable(value);
  });
}

/** What is known at compile time is the same in every run. */
function checkUpdate(graph: Graph, node: Node, id: ValueId): void {
  const { source, name } = graph.values[id];
  const { kind } = source;
  if (kind === 'constant' || kind === 'table')
    fail(graph, node, 'an update of what may change', name);
}

/** A table has contents of its type, and none that spreads NaN. */
function checkTable({ name, type, source }: Value): void {
  const got = source.kind === 'table' ? contentsFault(type, source.data) : null;
  if (got === null) return;
  const expected = `finite contents of ${typeText(type)}`;
  throw new GraphError({ where: `table ${name}`, expected, got, todo: 'Correct the contents' });
}

/** Integers are drawn from no distribution of reals. */
function checkInitial({ name, type, source }: Value): void {
  if (source.kind !== 'parameter' && source.kind !== 'buffer') return;
  const { kind } = source.initial;
  if (type.dtype === 'f32' || kind === 'zeros' || kind === 'ones') return;
  throw new GraphError({
    where: `${source.kind} ${name}`,
    expected: `initial zeros or ones for ${typeText(type)}`,
    got: kind,
    todo: 'Choose another dtype or initial values',
  });
}

function checkOperands(
  graph: Graph,
  node: Node,
  declared: readonly string[],
  actual: Readonly<Record<string, ValueId>>,
): void {
  const known = new Set(declared.map((name) => name.replace(/\?$/, '')));
  for (const key of Object.keys(actual)) {
    if (!known.has(key)) fail(graph, node, `operands ${declared.join(', ')}`, `operand "${key}"`);
  }
  for (const name of declared) {
    if (!name.endsWith('?') && !(name in actual)) fail(graph, node, `operand "${name}"`, 'none');
  }
}

function checkReads(
  graph: Graph,
  node: Node,
  defined: ReadonlySet<ValueId>,
  writerOf: (id: ValueId) => string | undefined,
): void {
  for (const [key, id] of Object.entries(node.inputs)) {
    if (!defined.has(id)) {
      fail(graph, node, `"${key}" to be produced earlier`, valueName(graph, id));
    }
    const writer = writerOf(id);
    if (writer !== undefined) {
      fail(
        graph,
        node,
        `"${key}" to be live`,
        `${valueName(graph, id)}, written over by ${writer}`,
      );
    }
  }
}

function checkTypes(graph: Graph, node: Node, op: OpSignature): void {
  const types: Record<string, TensorType> = {};
  for (const [key, id] of Object.entries(node.inputs)) types[key] = valueOf(graph, node, id).type;
  const inferred: Readonly<Record<string, TensorType | undefined>> = op.infer(
    types,
    node.params,
    node.name,
  );
  for (const [key, id] of Object.entries(node.outputs)) {
    const type = valueOf(graph, node, id).type;
    const expected = inferred[key];
    if (!expected || !sameType(expected, type)) {
      const text = expected ? typeText(expected) : 'absent';
      fail(graph, node, `output "${key}" of type ${text}`, typeText(type));
    }
  }
}

function valueOf(graph: Graph, node: Node, id: ValueId) {
  return graph.values[id] ?? fail(graph, node, 'an id of this graph', `#${String(id)}`);
}

function valueName(graph: Graph, id: ValueId): string {
  return graph.values[id]?.name ?? `#${String(id)}`;
}

function fail(graph: Graph, node: Node, expected: string, got: string): never {
  throw new GraphError({
    where: printNode(graph, node),
    expected,
    got,
    todo: 'The pass that ran last broke the graph; print the graph before and after it',
  });
}
