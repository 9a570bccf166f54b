/**
 * The planner: properties of every plan on random graphs, placement against the lower bound and
 * brute force, the order of updates, and the exact bytes of gradients with and without clipping.
 * A little over the usual length: the random graphs and their checks belong together.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { leaves, parameters, type Graph, type Node, type Value } from '../src/ir/graph.js';
import { bytesOf, elements, f32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import type { VitConfig } from '../src/models/vit/model.js';
import { accumulate } from '../src/ops/accumulate.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { fill } from '../src/ops/fill.js';
import { gelu } from '../src/ops/gelu.js';
import { opNamed, OPS } from '../src/ops/index.js';
import { layernorm } from '../src/ops/layernorm.js';
import { matmul, TRANSPOSED_A, TRANSPOSED_B } from '../src/ops/matmul.js';
import { reshaped } from '../src/ops/reshape.js';
import { sumRows } from '../src/ops/sum-rows.js';
import { prune } from '../src/passes/prune.js';
import { sgd } from '../src/optim/sgd.js';
import { liveBytes, placeBlocks, type Block } from '../src/plan/arena.js';
import { plan } from '../src/plan/plan.js';
import { liveTimeline, residents } from '../src/plan/report.js';
import { schedule } from '../src/plan/schedule.js';
import { ALIGNMENT, type Entry, type Program } from '../src/program.js';
import { Random } from '../src/random.js';
import { FAST_EXECUTORS } from './executors.js';
import { expectClose } from './golden.js';
import { modelOf, SMALL } from './tiny-vit.js';

const RANDOM_GRAPHS = 60;

/** Graphs in which every value has a reader. */
const GRAPHS: readonly (readonly [string, Graph])[] = Array.from(
  { length: RANDOM_GRAPHS },
  (_, seed) => [`random ${String(seed)}`, prune(randomGraph(seed))],
);

/** Plans that every property must hold for. */
const ALL: readonly (readonly [string, Program])[] = [
  ...GRAPHS.map(([title, graph]) => [title, plan([{ name: 'run', graph }])] as const),
  ['ViT', vitProgram(SMALL)],
  ['ViT, clipped', vitProgram(SMALL, { clipNorm: 1 })],
  ['ViT, micro-batches', vitProgram(SMALL, { microBatches: 2, clipNorm: 1 })],
];

describe('places', () => {
  it('inside of the arena, aligned, each in its root', () => {
    for (const [title, program] of ALL) {
      for (const slot of program.slots) {
        const root = program.slots[slot.root];
        const at = `${title}: ${slot.name}`;
        const [from, to] =
          root.entry === null
            ? [0, program.persistentBytes]
            : [program.persistentBytes, program.arenaBytes];
        expect(slot.offset % ALIGNMENT, at).toBe(0);
        expect(slot.offset, at).toBeGreaterThanOrEqual(from);
        expect(slot.offset + slot.bytes, at).toBeLessThanOrEqual(to);
        expect([slot.offset, slot.bytes], at).toEqual([root.offset, root.bytes]);
        expect(slot.bytes, at).toBe(bytesOf(slot.type));
      }
    }
  });

  it('no two live tensors overlap', () => {
    for (const [title, program] of ALL) {
      const persistent = program.slots.filter((slot) => slot.entry === null);
      for (const entry of program.entries) {
        const always = persistent.map((slot) => ({ slot, first: 0, last: entry.steps.length }));
        const all = [...always, ...residents(program, entry)];
        all.forEach((a, index) => {
          for (const b of all.slice(index + 1)) {
            const together = a.first <= b.last && b.first <= a.last;
            const apart =
              a.slot.offset + a.slot.bytes <= b.slot.offset ||
              b.slot.offset + b.slot.bytes <= a.slot.offset;
            if (together && !apart) expect.fail(`${title}: ${a.slot.name} overlaps ${b.slot.name}`);
          }
        });
      }
    }
  });

  it('the arena is what the entries reach and no more', () => {
    for (const [title, program] of ALL) {
      const ends = program.entries.map((entry) => {
        const slots = residents(program, entry).map(({ slot }) => slot);
        const reach = Math.max(...slots.map((slot) => slot.offset + align(slot.bytes)));
        expect(Math.max(...liveTimeline(program, entry)), title).toBeLessThanOrEqual(
          reach - program.persistentBytes,
        );
        return reach;
      });
      expect(program.arenaBytes, title).toBe(Math.max(...ends));
      const persistent = program.slots.filter((slot) => slot.entry === null);
      expect(program.persistentBytes, title).toBe(
        persistent.reduce((sum, slot) => sum + align(slot.bytes), 0),
      );
    }
  });
});

describe('lives', () => {
  it('every read finds the value that was meant', () => {
    for (const [title, program] of ALL) {
      for (const entry of program.entries) replay(title, program, entry);
    }
  });

  it('memory is shared only where an op allows it', () => {
    for (const [title, program] of ALL) {
      for (const entry of program.entries) {
        for (const step of entry.steps) {
          const op = opNamed(step.op);
          const allowed = [
            ...(op.inPlace ?? []),
            ...(op.updates ?? []),
            ...(op.view ? [op.view] : []),
          ];
          for (const [output, result] of Object.entries(step.outputs)) {
            for (const [input, operand] of Object.entries(step.inputs)) {
              if (program.slots[result].root !== program.slots[operand].root) continue;
              const pairs = allowed.map((pair) => pair.join(' over '));
              expect(pairs, `${title}: ${step.name}`).toContain(`${output} over ${input}`);
            }
          }
        }
      }
    }
  });
});

describe('schedule', () => {
  it('is a legal order of the same nodes', () => {
    for (const [title, graph] of GRAPHS) {
      const nodes = schedule(graph);
      verify({ ...graph, nodes }, OPS);
      expect(new Set(nodes), title).toEqual(new Set(graph.nodes));
    }
  });

  it('runs an update right after its gradient and not before another reader', () => {
    const graph = updatesAtTheEnd();
    expect(names(schedule(graph))).toEqual(['g1', 'u1', 'reads p2', 'g2', 'u2', 'last']);
  });

  it('waits for the readers of a view of what is updated', () => {
    const builder = new GraphBuilder();
    const p = builder.state('p', f32(2, 3));
    const x = builder.input('x', f32(2, 3));
    const flat = reshaped(builder, p, [6]);
    const y = builder.emit(add, { a: flat, b: flat }, {}, 'reader').y;
    builder.emit(accumulate, { acc: p, x }, {}, 'update');
    const graph = builder.build({ y });
    expect(names(schedule(graph))).toEqual(['reshape', 'reader', 'update']);
  });

  it('keeps the order of two updates of one tensor', () => {
    const builder = new GraphBuilder();
    const p = builder.parameter('p', f32(3), { initial: { kind: 'zeros' } });
    const acc = builder.state('acc', f32(3));
    builder.emit(accumulate, { acc: p, x: acc }, {}, 'apply');
    builder.emit(fill, { x: acc }, { value: 0 }, 'clear');
    expect(names(schedule(builder.build({})))).toEqual(['apply', 'clear']);
  });
});

describe('placeBlocks', () => {
  const block = (bytes: number, first: number, last: number): Block => ({ bytes, first, last });

  it('puts a chain of layers, two at a time, into the two largest neighbours', () => {
    const chain = [64, 256, 128, 512, 64, 320].map((bytes, step) => block(bytes, step, step + 1));
    const placement = placeBlocks(chain, 64);
    expect(placement.bytes).toBe(128 + 512);
    expect(placement.bytes).toBe(Math.max(...liveBytes(chain, 64)));
  });

  it('puts nested lives, as of forward and backward, on top of each other', () => {
    const nested = [5, 4, 3, 2, 1].map((units, depth) => block(64 * units, depth, 20 - depth));
    expect(placeBlocks(nested, 64)).toEqual({ offsets: [0, 320, 576, 768, 896], bytes: 960 });
  });

  it('rounds every block up to the alignment', () => {
    expect(placeBlocks([block(1, 0, 1), block(65, 0, 1), block(0, 0, 0)], 64)).toEqual({
      offsets: [128, 0, 0],
      bytes: 192,
    });
    expect(placeBlocks([], 64)).toEqual({ offsets: [], bytes: 0 });
  });

  it('is near the optimum of all orders on small random instances', () => {
    let optimal = 0;
    for (let seed = 0; seed < 50; seed++) {
      const blocks = randomBlocks(Random.of(seed, 'blocks'), 6);
      const { bytes } = placeBlocks(blocks, 1);
      const best = bestOfAllOrders(blocks);
      expect(best).toBeGreaterThanOrEqual(Math.max(...liveBytes(blocks, 1)));
      expect(bytes).toBeGreaterThanOrEqual(best);
      expect(bytes, `seed ${String(seed)}`).toBeLessThanOrEqual(1.5 * best);
      if (bytes === best) optimal++;
    }
    expect(optimal).toBe(49);
  });
});

describe('gradients', () => {
  const bytes = parameters(modelOf(SMALL)(1).graph).map(({ type }) => bytesOf(type));

  it('live one at a time without clipping', () => {
    expect(Math.max(...bytes)).toBe(4 * 48 * 12);
    expect(gradientPeak(vitProgram(SMALL))).toBe(4 * 48 * 12);
  });

  it('live all together with clipping', () => {
    const total = bytes.reduce((sum, count) => sum + count, 0);
    expect(gradientPeak(vitProgram(SMALL, { clipNorm: 1 }))).toBe(total);
  });

  it('live one at a time with micro-batches, clipped or not', () => {
    expect(gradientPeak(vitProgram(SMALL, { microBatches: 2, clipNorm: 1 }))).toBe(4 * 48 * 12);
  });
});

it('saves what the forward pass makes for the backward pass only', () => {
  const builder = new GraphBuilder();
  const x = builder.input('x', f32(2));
  const weight = builder.parameter('weight', f32(2), { initial: { kind: 'zeros' } });
  const early = builder.emit(gelu, { x }, {}, 'early').y;
  const result = builder.emit(add, { a: x, b: weight }, {}, 'result').y;
  const late = builder.emit(gelu, { x }, {}, 'late').y;
  const grad = builder.emit(add, { a: early, b: late }, {}, 'grad').y;
  builder.emit(accumulate, { acc: weight, x: grad }, {}, 'update');
  const { slots } = plan([{ name: 'step', graph: builder.build({ result }) }]);
  const roles = Object.fromEntries(slots.map(({ name, role }) => [name, role]));
  expect(roles).toMatchObject({
    'early.y': 'saved',
    'late.y': 'temporary',
    'grad.y': 'gradient',
    'result.y': 'output',
  });
});

describe('plans executed', () => {
  it('give the same numbers in one arena as with an array for each tensor', async () => {
    for (const kind of [wasmExecutor, ...FAST_EXECUTORS.slice(-1)]) {
      for (const [title, graph] of GRAPHS.slice(0, 20)) {
        const want = await executed(referenceExecutor, graph);
        const got = await executed(kind, graph);
        for (const [name, data] of Object.entries(want)) {
          // Float32 through a dozen ops, on values that grow to the tens.
          const tolerance = { relative: 1e-4, absolute: 1e-4 };
          expectClose(got[name], data, tolerance, `${kind.name}, ${title}, ${name}`);
        }
      }
    }
  });
});

/**
 * A random graph over [6, 4] tensors: elementwise ops that may run in place, views, reductions with
 * a workspace, updates of parameters and states that come last in the list.
 */
function randomGraph(seed: number): Graph {
  const random = Random.of(seed, 'graph');
  const builder = new GraphBuilder();
  const weight = builder.parameter('weight', f32(4, 4), { initial: { kind: 'zeros' } });
  const gamma = builder.parameter('gamma', f32(4), { initial: { kind: 'ones' } });
  const state = builder.state('state', f32(6, 4));
  const live: Value[] = [builder.input('x', f32(6, 4)), builder.input('z', f32(6, 4)), state];
  const pick = () => live[random.below(live.length)];
  for (let count = 4 + random.below(12); count > 0; count--) {
    live.push(randomNode(builder, random, pick, weight, gamma));
    if (live.length > 5) live.splice(random.below(live.length - 1), 1);
  }
  const last = live[live.length - 1];
  const other = pick();
  // The state is written over, so that the host could not read it.
  const results = { last, other: other === state ? last : other };
  const grad = builder.emit(matmul, { a: pick(), b: pick() }, TRANSPOSED_A);
  builder.emit(accumulate, { acc: weight, x: grad.y }, {}, 'update weight');
  const x = builder.emit(gelu, { x: pick() }, {}).y;
  builder.emit(accumulate, { acc: state, x }, {}, 'update state');
  const graph = builder.build(results);
  verify(graph, OPS);
  return graph;
}

function randomNode(
  builder: GraphBuilder,
  random: Random,
  pick: () => Value,
  weight: Value,
  gamma: Value,
): Value {
  switch (random.below(6)) {
    case 0:
      return builder.emit(gelu, { x: pick() }, {}).y;
    case 1:
      return builder.emit(layernorm, { x: pick(), gamma, beta: gamma }, { eps: 0.1 }).y;
    case 2:
      return builder.emit(matmul, { a: pick(), b: weight, residual: pick() }, TRANSPOSED_B).y;
    case 3: {
      const rows = builder.emit(sumRows, { x: pick() }, { axes: 1 }).y;
      return builder.emit(add, { a: pick(), b: rows }, {}).y;
    }
    case 4: {
      const flat = reshaped(builder, pick(), [24]);
      const y = builder.emit(gelu, { x: flat }, {}).y;
      return reshaped(builder, y, [6, 4]);
    }
    default:
      return builder.emit(add, { a: pick(), b: pick() }, {}).y;
  }
}

/** Two gradients and two updates that are listed last; p2 is read between them. */
function updatesAtTheEnd(): Graph {
  const builder = new GraphBuilder();
  const p1 = builder.state('p1', f32(2));
  const p2 = builder.state('p2', f32(2));
  const x = builder.input('x', f32(2));
  const g1 = builder.emit(gelu, { x }, {}, 'g1').y;
  const read = builder.emit(add, { a: p2, b: g1 }, {}, 'reads p2').y;
  const g2 = builder.emit(gelu, { x: read }, {}, 'g2').y;
  const last = builder.emit(add, { a: g2, b: g2 }, {}, 'last').y;
  builder.emit(accumulate, { acc: p1, x: g1 }, {}, 'u1');
  builder.emit(accumulate, { acc: p2, x: g2 }, {}, 'u2');
  return builder.build({ last });
}

/** Follows which value lies in each root; fails when a step reads another one than its operand. */
function replay(title: string, program: Program, entry: Entry): void {
  const holds = new Map<number, number>();
  const write = (slot: number) => holds.set(program.slots[slot].root, slot);
  const read = (slot: number, at: string) => {
    const { root, name } = program.slots[slot];
    const found = holds.get(root) ?? root;
    if (found !== slot) {
      expect.fail(`${title}: ${at} reads ${name} from the memory of ${program.slots[found].name}`);
    }
  };
  Object.values(entry.inputs).forEach(write);
  const views = new Set<number>();
  for (const step of entry.steps) {
    const { view } = opNamed(step.op);
    for (const slot of Object.values(step.inputs)) {
      if (!views.has(slot)) read(slot, step.name);
    }
    // A view holds the same contents, so that both names are good until somebody writes.
    if (view) views.add(step.outputs[view[0]]).add(step.inputs[view[1]]);
    else Object.values(step.outputs).forEach(write);
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function names(nodes: readonly Node[]): readonly string[] {
  return nodes.map((node) => node.name);
}

function vitProgram(
  config: VitConfig,
  options: { readonly clipNorm?: number; readonly microBatches?: number } = {},
): Program {
  return compile({
    model: modelOf(config),
    optimizer: sgd({ momentum: 0.9 }),
    batch: 2,
    ...options,
  });
}

/** Largest sum of the bytes of gradients that are live at one step of the first entry. */
function gradientPeak(program: Program): number {
  const [entry] = program.entries;
  const live = new Array<number>(entry.steps.length).fill(0);
  const isGradient = new Set(
    program.slots.filter((slot) => slot.role === 'gradient').map((slot) => slot.root),
  );
  for (const { slot, index, first, last } of residents(program, entry)) {
    if (!isGradient.has(index)) continue;
    for (let step = first; step <= last; step++) live[step] += slot.bytes;
  }
  return Math.max(...live);
}

function randomBlocks(random: Random, count: number): readonly Block[] {
  return Array.from({ length: count }, () => {
    const first = random.below(8);
    return { bytes: 1 + random.below(9), first, last: first + random.below(5) };
  });
}

/** Smallest arena when the blocks are placed, each as low as it goes, in any order whatsoever. */
function bestOfAllOrders(blocks: readonly Block[]): number {
  let best = Infinity;
  const place = (placed: readonly (Block & { offset: number })[], rest: readonly Block[]): void => {
    if (rest.length === 0) {
      best = Math.min(best, Math.max(...placed.map(({ offset, bytes }) => offset + bytes)));
    }
    rest.forEach((block, index) => {
      const rivals = placed.filter(
        (other) => other.first <= block.last && block.first <= other.last,
      );
      const free = (offset: number) =>
        rivals.every((o) => offset + block.bytes <= o.offset || o.offset + o.bytes <= offset);
      const candidates = [0, ...rivals.map(({ offset, bytes }) => offset + bytes)];
      const offset = Math.min(...candidates.filter(free));
      place([...placed, { ...block, offset }], [...rest.slice(0, index), ...rest.slice(index + 1)]);
    });
  };
  place([], blocks);
  return best;
}

/** Outputs, parameters and states after two runs from the same leaves. */
async function executed(kind: ExecutorKind, graph: Graph): Promise<Record<string, HostData>> {
  const executor = await kind.load(plan([{ name: 'run', graph }]), { threads: 2 });
  const persistent = [...parameters(graph), ...leaves(graph, 'state')];
  const found: Record<string, HostData> = {};
  for (const { name, type } of persistent)
    executor.write(name, contents(name, elements(type.shape)));
  for (let run = 0; run < 2; run++) {
    for (const { name, type } of leaves(graph, 'input')) {
      executor.write(`run.${name}`, contents(name, elements(type.shape)));
    }
    await executor.run('run');
    for (const name of ['last', 'other'])
      found[`${name} ${run}`] = await executor.read(`run.${name}`);
  }
  for (const { name } of persistent) found[name] = await executor.read(name);
  await executor.dispose();
  return found;
}

function contents(name: string, count: number): Float32Array {
  return Random.of(1, name).fillNormal(new Float32Array(count), 0.5);
}
