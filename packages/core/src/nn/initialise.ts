/**
 * Starting values of parameters and buffers, drawn by (seed, parameter name): the same on every executor, and a
 * parameter's values do not depend on which others exist.
 */
import type { Checkpointed, Initial } from '../ir/graph.js';
import { hostArray, type HostArray } from '../ir/host.js';
import { elements, type Shape } from '../ir/types.js';
import { Random } from '../random.js';

/** Normal draws further out than this many standard deviations are drawn again. */
const TRUNCATION = 2;

/** A parameter or buffer before training, in its own dtype; integers are zeros or ones (ir/verify.ts). */
export function initialContents({ name, type, source }: Checkpointed, seed: number): HostArray {
  const { initial } = source;
  if (type.dtype === 'f32') return initialValues(initial, type.shape, seed, name);
  return hostArray(type).fill(initial.kind === 'ones' ? 1 : 0);
}

/** Values of a parameter of `shape` before training. */
export function initialValues(
  initial: Initial,
  shape: Shape,
  seed: number,
  name: string,
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(elements(shape));
  const random = Random.of(seed, 'parameter', name);
  switch (initial.kind) {
    case 'zeros':
      return values;
    case 'ones':
      return values.fill(1);
    case 'truncatedNormal': {
      const { std } = initial;
      return random.fillTruncatedNormal(values, std, -TRUNCATION * std, TRUNCATION * std);
    }
    case 'normal':
      return random.fillNormal(values, initial.std);
    case 'uniform':
      return values.map(() => (2 * random.uniform() - 1) * initial.bound);
    case 'orthonormal':
      return orthonormalColumns(shape[0], shape[1], random);
  }
  return initial satisfies never;
}

/** Normal columns made orthonormal by Gram and Schmidt, twice over, in float64; [rows, cols]. */
function orthonormalColumns(rows: number, cols: number, random: Random): Float32Array<ArrayBuffer> {
  const result = new Float32Array(rows * cols);
  const done: Float64Array[] = [];
  for (let c = 0; c < cols; c++) {
    const column = random.fillNormal(new Float64Array(rows));
    for (const other of [...done, ...done]) {
      const share = dot(column, other);
      for (let i = 0; i < rows; i++) column[i] -= share * other[i];
    }
    const length = Math.sqrt(dot(column, column));
    for (let i = 0; i < rows; i++) {
      column[i] /= length;
      result[i * cols + c] = column[i];
    }
    done.push(column);
  }
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
