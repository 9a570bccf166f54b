/**
 * plan: graphs in, Program out. Every byte gets its place.
 *
 * All entries share one arena: persistent slots first (in the order in which the entries mention them), then
 * one transient region that is as large as the largest entry needs. An entry's inputs are live from its
 * first step, its outputs until its last.
 */
import { GraphError, InternalError } from '../errors.js';
import type { Graph, Node, Operands, Source, Value, ValueId } from '../ir/graph.js';
import { sameContents } from '../ir/host.js';
import { bytesOf, sameType, typeText, type TensorType } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { ALIGNMENT } from '../program.js';
import type { Entry, Program, Slot, Step, Training } from '../program.js';
import { placeBlocks, type Block } from './arena.js';
import { assignMemory, type Memory } from './sharing.js';
import { schedule } from './schedule.js';

/** A graph that becomes an entry of the program. */
export interface EntryGraph {
  readonly name: string;
  readonly graph: Graph;
}

/**
 * Orders and places the entries. Throws GraphError when they disagree on a persistent tensor.
 *
 * @param training what the entries were compiled for; null where they are no training step
 */
export function plan(
  entryGraphs: readonly EntryGraph[],
  training: Training | null = null,
): Program {
  const persistent = new PersistentSlots();
  const drafts = entryGraphs.map(({ name, graph }) => draftEntry(name, graph, persistent));
  const slots: Slot[] = [...persistent.slots];
  let transientBytes = 0;
  let scratchBytes = 0;
  const entries = drafts.map((draft): Entry => {
    const base = slots.length;
    const final = (index: number) => (index >= 0 ? index : base - index - 1);
    const placement = placeBlocks(draft.blocks, ALIGNMENT);
    for (const slot of draft.slots) {
      const root = final(slot.root);
      const offset =
        slot.block === null
          ? persistent.slots[root].offset
          : persistent.bytes + placement.offsets[slot.block];
      const { name, type, role, bytes, first, last } = slot;
      slots.push({ name, type, role, offset, bytes, entry: draft.name, first, last, root });
    }
    transientBytes = Math.max(transientBytes, placement.bytes);
    scratchBytes = Math.max(scratchBytes, draft.scratchBytes);
    return finishEntry(draft, final);
  });
  return {
    slots,
    entries,
    training,
    persistentBytes: persistent.bytes,
    arenaBytes: persistent.bytes + transientBytes,
    scratchBytes: align(scratchBytes),
  };
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** Parameters, buffers, states, constants and tables of all entries; one slot for each name. */
class PersistentSlots {
  readonly slots: Slot[] = [];
  bytes = 0;
  private readonly byName = new Map<string, number>();

  /** Index of the slot for `memory`, which is made on its first mention. */
  index(memory: Memory): number {
    const { value, role, bytes } = memory;
    const name = this.nameOf(value);
    const known = this.byName.get(name);
    if (known !== undefined) {
      checkSameType(name, this.slots[known].type, value.type);
      return known;
    }
    const root = this.slots.length;
    const place = { offset: this.bytes, bytes, entry: null, first: 0, last: 0, root };
    this.byName.set(name, root);
    this.slots.push({ name, type: value.type, role, ...place, ...factsOf(value.source) });
    this.bytes += align(bytes);
    return root;
  }

  /** What is known at compile time is shared by what it holds, everything else by its name. */
  private nameOf({ name, type, source }: Value): string {
    if (source.kind === 'constant') return `constant ${typeText(type)} ${String(source.fill)}`;
    if (source.kind !== 'table') return name;
    const same = this.slots.find(
      ({ data, type: other }) =>
        data !== undefined && sameType(type, other) && sameContents(data, source.data),
    );
    if (same) return same.name;
    let free = name;
    for (let n = 2; this.byName.has(free); n++) free = `${name}~${String(n)}`;
    return free;
  }
}

/** What a persistent slot says of its source. */
function factsOf(source: Source): Pick<Slot, 'fill' | 'data' | 'of'> {
  if (source.kind === 'constant') return { fill: source.fill };
  if (source.kind === 'table') return { data: source.data };
  return source.kind === 'state' ? { of: source.of } : {};
}

function checkSameType(name: string, known: TensorType, other: TensorType): void {
  if (sameType(known, other)) return;
  throw new GraphError({
    where: `persistent tensor ${name}`,
    expected: `${typeText(known)} in every entry`,
    got: typeText(other),
    todo: 'Build all entries from the same model',
  });
}

/** A slot of an entry before it has a place; `root` is a final index or a draft one (below). */
interface DraftSlot extends Omit<Slot, 'offset' | 'entry'> {
  /** Block of the transient region; null when the memory is persistent. */
  readonly block: number | null;
}

/** An entry before placement; slot t of the draft is referred to as −t − 1. */
interface Draft {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly blocks: readonly Block[];
  readonly slots: readonly DraftSlot[];
  readonly slotOf: ReadonlyMap<ValueId, number>;
  readonly workspaces: ReadonlyMap<Node, number>;
  readonly inputs: Operands;
  readonly outputs: Operands;
  readonly scratchBytes: number;
}

function draftEntry(name: string, graph: Graph, persistent: PersistentSlots): Draft {
  const nodes = schedule(graph);
  const { all, values } = assignMemory(graph, nodes);
  const blocks: Block[] = [];
  const slots: DraftSlot[] = [];
  const slotOf = new Map<ValueId, number>();
  /** Block and first slot of every memory. */
  const homes = all.map((memory) =>
    memory.persistent
      ? { block: null, root: persistent.index(memory) }
      : { block: blocks.push(memory) - 1, root: null },
  );
  const roots = homes.map((home) => home.root);
  for (const [id, { value, role, memory, first, last }] of values) {
    const draftIndex = -slots.length - 1;
    const known = roots[memory];
    if (known !== null && known >= 0 && all[memory].value.id === id) {
      slotOf.set(id, known);
      continue;
    }
    const root = (roots[memory] ??= draftIndex);
    const { name: slotName, type } = value;
    const { block } = homes[memory];
    slots.push({ name: slotName, type, role, bytes: bytesOf(type), first, last, root, block });
    slotOf.set(id, draftIndex);
  }
  const workspaces = new Map<Node, number>();
  let scratchBytes = 0;
  nodes.forEach((node, step) => {
    const op = opNamed(node.op);
    const types = typesOf(graph, node);
    scratchBytes = Math.max(scratchBytes, op.scratch?.(types, node.params) ?? 0);
    const bytes = op.workspace?.(types, node.params) ?? 0;
    if (bytes > 0) workspaces.set(node, addWorkspace(node, bytes, step, slots, blocks));
  });
  const inputs = Object.fromEntries(
    graph.values
      .filter((value) => value.source.kind === 'input' && values.has(value.id))
      .map((value) => [value.name, value.id]),
  );
  const { outputs } = graph;
  return { name, nodes, blocks, slots, slotOf, workspaces, inputs, outputs, scratchBytes };
}

function addWorkspace(
  node: Node,
  bytes: number,
  step: number,
  slots: DraftSlot[],
  blocks: Block[],
): number {
  const root = -slots.length - 1;
  const life = { bytes, first: step, last: step };
  const type: TensorType = { dtype: 'f32', shape: [Math.ceil(bytes / 4)] };
  const block = blocks.push(life) - 1;
  slots.push({ name: `${node.name}.workspace`, type, role: 'workspace', ...life, root, block });
  return root;
}

function finishEntry(draft: Draft, final: (index: number) => number): Entry {
  const place = (operands: Operands): Operands =>
    Object.fromEntries(
      Object.entries(operands).map(([key, id]) => [key, final(slotOf(draft, id))]),
    );
  const steps = draft.nodes.map((node): Step => {
    const workspace = draft.workspaces.get(node);
    return {
      name: node.name,
      op: node.op,
      params: node.params,
      inputs: place(node.inputs),
      outputs: place(node.outputs),
      workspace: workspace === undefined ? null : final(workspace),
    };
  });
  const { name, inputs, outputs } = draft;
  return { name, steps, inputs: place(inputs), outputs: place(outputs) };
}

function slotOf({ name, slotOf: slots }: Draft, id: ValueId): number {
  const slot = slots.get(id);
  if (slot !== undefined) return slot;
  throw InternalError.of(`plan of ${name}`, 'a slot for every operand', `none for #${String(id)}`);
}

function typesOf(graph: Graph, node: Node): Readonly<Record<string, TensorType>> {
  const entries = [...Object.entries(node.inputs), ...Object.entries(node.outputs)];
  return Object.fromEntries(entries.map(([key, id]) => [key, graph.values[id].type]));
}
