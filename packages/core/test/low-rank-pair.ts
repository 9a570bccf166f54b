/**
 * A weight in low-rank form by itself: a graph whose only parameters are the pair, gradients from outside.
 *
 * Legend: W = L R, L [O, K], R [K, I], D = dL/dW = pᵀ q, p [r, O], q [r, I] with orthonormal rows.
 */
import type { Executor, ExecutorKind } from '../src/executors/executor.js';
import type { TrainGraph, Value } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS } from '../src/ops/index.js';
import { accumulateGradients, applyAccumulated, applyUpdates } from '../src/optim/apply.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { sgd } from '../src/optim/sgd.js';
import { prune } from '../src/passes/prune.js';
import { plan, type EntryGraph } from '../src/plan/plan.js';
import type { Program } from '../src/program.js';
import {
  decomposed,
  diagonal,
  matrix,
  orthonormal,
  product,
  randomMatrix,
  transposed,
  type Matrix,
} from './dense.js';
import { writeScalars } from './tiny-vit.js';

export interface Sizes {
  readonly O: number;
  readonly I: number;
  readonly K: number;
  /** Rows of p and q. */
  readonly r: number;
}

/** A step's gradient as it is known: a product, or the two sides. */
export type Known = 'product' | 'sides';

export interface State {
  readonly left: Matrix;
  readonly right: Matrix;
}

export interface Gradient {
  readonly whole: Matrix;
  readonly p: Matrix;
  readonly q: Matrix;
}

/** D = pᵀ q of one step, q with orthonormal rows. */
export function gradientAt({ O, I, r }: Sizes, step: number): Gradient {
  const p = randomMatrix(r, O, `p ${String(step)}`);
  const q = transposed(orthonormal(randomMatrix(I, r, `q ${String(step)}`)));
  return { whole: product(transposed(p), q), p, q };
}

export function whole({ left, right }: State): Matrix {
  return product(left, right);
}

/** A graph whose only parameters are a pair and whose gradients come from outside. */
function trainGraph({ O, I, K, r }: Sizes, known: Known): TrainGraph {
  const builder = new GraphBuilder();
  const side = (name: 'left' | 'right', rows: number, cols: number) =>
    builder.parameter(`w.${name}`, f32(rows, cols), {
      initial: { kind: 'zeros' },
      factor: { weight: 'w', side: name, form: 'low-rank' },
    });
  side('left', O, K);
  side('right', K, I);
  const input = (name: string, rows: number, cols: number): Value =>
    builder.input(name, f32(rows, cols));
  if (known === 'product') {
    const [p, q] = [input('p', r, O), input('q', r, I)];
    const product = { kind: 'product', p: p.id, q: q.id } as const;
    return { graph: builder.build({}), gradients: new Map([['w', product]]) };
  }
  const dense = (value: Value) => ({ kind: 'dense', value: value.id }) as const;
  const gradients = new Map([
    ['w.left', dense(input('dL', O, K))],
    ['w.right', dense(input('dR', K, I))],
  ]);
  return { graph: builder.build({}), gradients };
}

export function program(sizes: Sizes, known: Known, optimizer: Optimizer, clip?: number): Program {
  const graph = applyUpdates(trainGraph(sizes, known), { optimizer, clipNorm: clip ?? null });
  return planned([{ name: 'step', graph }]);
}

export function microProgram(sizes: Sizes, known: Known, optimizer: Optimizer): Program {
  const train = trainGraph(sizes, known);
  return planned([
    { name: 'micro', graph: accumulateGradients(train).graph },
    { name: 'apply', graph: applyAccumulated(train, { optimizer, clipNorm: null }) },
  ]);
}

function planned(entries: readonly EntryGraph[]): Program {
  const pruned = entries.map(({ name, graph }) => ({ name, graph: prune(graph) }));
  for (const { graph } of pruned) verify(graph, OPS);
  return plan(pruned);
}

export interface Loaded {
  readonly executor: Executor;
  state(): Promise<State>;
  /** Runs an entry with a gradient. */
  write(entry: string, gradient: Gradient): Promise<void>;
  step(gradient: Gradient, rate: number): Promise<void>;
}

/** An executor for `optimizer` with a random pair, R's singular values falling from 1 to 1/condition. */
export async function load(
  kind: ExecutorKind,
  program: Program,
  { O, I, K }: Sizes,
  { threads = 2, condition = 10, optimizer = sgd() } = {},
): Promise<Loaded> {
  const executor = await kind.load(program, { threads });
  const basis = decomposed(randomMatrix(K, K, 'basis'), K).left;
  const values = Array.from({ length: K }, (_, k) => condition ** (-k / Math.max(1, K - 1)));
  const rows = transposed(orthonormal(randomMatrix(I, K, 'rows')));
  executor.write('w.left', orthonormal(randomMatrix(O, K, 'left')).data);
  executor.write('w.right', product(basis, diagonal(values), rows).data);
  const state = async () => ({
    left: matrix(O, K, await executor.read('w.left')),
    right: matrix(K, I, await executor.read('w.right')),
  });
  const write = async (entry: string, { whole: d, p, q }: Gradient) => {
    const names = program.entries.find(({ name }) => name === entry)?.inputs ?? {};
    const { left, right } = await state();
    const dL = product(d, transposed(right));
    const dR = product(transposed(left), d);
    for (const [name, { data }] of Object.entries({ p, q, dL, dR })) {
      if (name in names) executor.write(`${entry}.${name}`, data);
    }
    await executor.run(entry);
  };
  let steps = 0;
  const step = async (gradient: Gradient, rate: number) => {
    steps += 1;
    writeScalars(executor, 'step', optimizer, steps, rate);
    await write('step', gradient);
  };
  return { executor, state, write, step };
}
