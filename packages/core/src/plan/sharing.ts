/**
 * sharing: which values share memory, and when each piece of memory is live.
 *
 * A *memory* is the bytes of one or more values: a view shares its operand's memory; an update's
 * output is its operand's memory; an elementwise output may take over the memory of an operand that
 * dies there. Invariant: at any step, two values whose lives overlap are in one memory only if one
 * is a view or the new value of the other.
 */
import { ancestors, type Graph, type Node, type Operands } from '../ir/graph.js';
import type { Value, ValueId } from '../ir/graph.js';
import { bytesOf } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { isPersistent, type SlotRole } from '../program.js';

export interface Memory {
  /** The value that names it: its first one. */
  readonly value: Value;
  readonly role: SlotRole;
  readonly bytes: number;
  readonly persistent: boolean;
  /** First and last step at which it holds something that is needed. */
  first: number;
  last: number;
}

/** The life of one value inside its memory. */
export interface ValueLife {
  readonly value: Value;
  readonly role: SlotRole;
  /** Index into `Memories.all`. */
  readonly memory: number;
  readonly first: number;
  readonly last: number;
}

export interface Memories {
  readonly all: readonly Memory[];
  /** Every value in use, in the order in which they come to life. */
  readonly values: ReadonlyMap<ValueId, ValueLife>;
}

/** Assigns the values of `graph`, run in the order `nodes`, to memories. */
export function assignMemory(graph: Graph, nodes: readonly Node[]): Memories {
  const lastRead = lastReads(graph, nodes);
  const roles = rolesOf(graph, nodes);
  const all: Memory[] = [];
  const of = new Map<ValueId, ValueLife>();
  const join = (id: ValueId, memory: number, step: number): void => {
    const value = graph.values[id];
    const last = Math.max(step, lastRead.get(id) ?? step);
    of.set(id, { value, role: roles(value), memory, first: step, last });
    all[memory].last = Math.max(all[memory].last, last);
  };
  const open = (id: ValueId, step: number): void => {
    const value = graph.values[id];
    const role = roles(value);
    const persistent = isPersistent(role);
    all.push({ value, role, bytes: bytesOf(value.type), persistent, first: step, last: step });
    join(id, all.length - 1, step);
  };
  nodes.forEach((node, step) => {
    for (const id of Object.values(node.inputs)) if (!of.has(id)) open(id, 0);
    const shared = sharedMemory(node);
    // A memory is taken over by one output only.
    const taken = new Set<number>();
    for (const [key, id] of Object.entries(node.outputs)) {
      const source = shared.get(key);
      const memory =
        source === undefined
          ? reusable(graph, node, key, step, all, of, taken)
          : of.get(node.inputs[source])?.memory;
      if (memory === undefined) {
        open(id, step);
        continue;
      }
      taken.add(memory);
      join(id, memory, step);
    }
  });
  for (const id of Object.values(graph.outputs)) if (!of.has(id)) open(id, 0);
  return { all, values: of };
}

/** Outputs that must live in an input's memory: views and updates. */
function sharedMemory(node: Node): ReadonlyMap<string, string> {
  const op = opNamed(node.op);
  return new Map([...(op.view ? [op.view] : []), ...(op.updates ?? [])]);
}

/** The memory of an operand that output `key` may be written over, if one dies at this step. */
function reusable(
  graph: Graph,
  node: Node,
  key: string,
  step: number,
  all: readonly Memory[],
  of: ReadonlyMap<ValueId, ValueLife>,
  taken: ReadonlySet<number>,
): number | undefined {
  const outputs: Readonly<Record<string, ValueId>> = node.outputs;
  const bytes = bytesOf(graph.values[outputs[key]].type);
  for (const [output, input] of opNamed(node.op).inPlace ?? []) {
    const operands: Readonly<Partial<Operands>> = node.inputs;
    const id = operands[input];
    if (output !== key || id === undefined) continue;
    const index = of.get(id)?.memory;
    if (index === undefined || taken.has(index)) continue;
    const memory = all[index];
    const dies = !memory.persistent && memory.last === step && memory.bytes === bytes;
    const alone = Object.entries(node.inputs).every(
      ([other, otherId]) => other === input || of.get(otherId)?.memory !== index,
    );
    if (dies && alone) return index;
  }
  return undefined;
}

/** Last step that needs each value; outputs of the graph are needed until the end. */
function lastReads(graph: Graph, nodes: readonly Node[]): ReadonlyMap<ValueId, number> {
  const last = new Map<ValueId, number>();
  nodes.forEach((node, step) => {
    for (const id of Object.values(node.inputs)) last.set(id, step);
  });
  for (const id of Object.values(graph.outputs)) last.set(id, nodes.length - 1);
  return last;
}

function rolesOf(graph: Graph, nodes: readonly Node[]): (value: Value) => SlotRole {
  const outputs = new Set(Object.values(graph.outputs));
  const gradients = gradientsOf(nodes);
  // An output that is computed from gradients (their norm) is no result of the forward pass.
  const results = [...outputs].filter(
    (id) => ![...ancestors(graph, [id])].some((ancestor) => gradients.has(ancestor)),
  );
  const needed = ancestors(graph, results);
  // The forward pass ends with the last node that a result needs. What else runs before it
  // (statistics, compressed copies) is there for the backward pass only.
  const end = 1 + nodes.findLastIndex((node) => producesAny(node, needed));
  const forward = new Set(nodes.slice(0, end).flatMap((node) => Object.values(node.outputs)));
  const saved = new Set<ValueId>();
  for (const node of nodes.slice(end)) {
    for (const id of Object.values(node.inputs)) if (forward.has(id)) saved.add(id);
  }
  return (value) => {
    const kind = value.source.kind;
    if (kind !== 'node') return kind;
    if (outputs.has(value.id)) return 'output';
    if (gradients.has(value.id)) return 'gradient';
    return saved.has(value.id) ? 'saved' : 'temporary';
  };
}

function producesAny(node: Node, values: ReadonlySet<ValueId>): boolean {
  return Object.values(node.outputs).some((id) => values.has(id));
}

/** What updates read as a parameter's gradient. */
function gradientsOf(nodes: readonly Node[]): ReadonlySet<ValueId> {
  const gradients = new Set<ValueId>();
  for (const node of nodes) {
    const { gradient } = opNamed(node.op);
    if (gradient !== undefined) gradients.add(node.inputs[gradient]);
  }
  return gradients;
}
