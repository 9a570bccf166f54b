/** Matrices for the tests of the factorisations: makers, float64 products, one op run by itself. */
import type { ExecutorKind, HostData } from '../src/executors/executor.js';
import type { Params } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { GraphBuilder } from '../src/ops/builder.js';
import type { AnyOp } from '../src/ops/index.js';
import { plan } from '../src/plan/plan.js';
import { Random } from '../src/random.js';
import { mapRecord } from './ops-evaluate.js';

/** Row-major float32 contents, as every executor gets them. */
export interface Matrix {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Standard normal elements, a function of the shape. */
export function normal(...shape: readonly number[]): Matrix {
  const random = Random.of(5, 'normal', ...shape);
  const count = shape.reduce((product, extent) => product * extent, 1);
  return { shape, data: Float32Array.from({ length: count }, () => random.normal()) };
}

export function matrix(
  rows: number,
  cols: number,
  element: (i: number, j: number) => number,
): Matrix {
  const data = Float32Array.from({ length: rows * cols }, (_, at) =>
    element(Math.floor(at / cols), at % cols),
  );
  return { shape: [rows, cols], data };
}

/** a · bᵀ in float64: a [m, k], b [n, k]; the result is [m, n]. */
export function productT(a: HostData, b: HostData, m: number, n: number): Float64Array {
  const k = a.length / m;
  const result = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) sum += a[i * k + p] * b[j * k + p];
      result[i * n + j] = sum;
    }
  }
  return result;
}

export function transposed(a: HostData, rows: number): Float64Array {
  const cols = a.length / rows;
  return Float64Array.from(a, (_, at) => a[(at % rows) * cols + Math.floor(at / rows)]);
}

/** The largest |a − b|; NaN when there is one. */
export function farthest(a: HostData, b: HostData | ((at: number) => number)): number {
  const other = typeof b === 'function' ? b : (at: number) => b[at];
  let worst = 0;
  for (let at = 0; at < a.length; at++) {
    const distance = Math.abs(a[at] - other(at));
    if (Number.isNaN(distance)) return NaN;
    worst = Math.max(worst, distance);
  }
  return worst;
}

/** Element `at` of the identity of this extent. */
export function identity(extent: number): (at: number) => number {
  return (at) => Number(at % (extent + 1) === 0);
}

/** The outputs of one op by itself. */
export async function runOp(
  kind: ExecutorKind,
  op: AnyOp,
  inputs: Readonly<Record<string, Matrix>>,
  params: Params,
  threads = 2,
): Promise<Record<string, HostData>> {
  const builder = new GraphBuilder();
  const operands = mapRecord(inputs, ({ shape }, name) => builder.input(name, f32(...shape)));
  const outputs = builder.emit(op, operands, params);
  const program = plan([{ name: 'op', graph: builder.build(outputs) }]);
  const executor = await kind.load(program, { threads });
  for (const [name, { data }] of Object.entries(inputs)) executor.write(`op.${name}`, data);
  await executor.run('op');
  const results: Record<string, HostData> = {};
  for (const name of Object.keys(outputs)) results[name] = await executor.read(`op.${name}`);
  await executor.dispose();
  return results;
}
