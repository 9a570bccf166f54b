/** Matrices in float64 for tests: products, orthonormal bases, singular values. */
import type { HostData } from '../src/executors/executor.js';
import { Random } from '../src/random.js';

/** Row-major. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

export function matrix(rows: number, cols: number, data: HostData | readonly number[]): Matrix {
  return { rows, cols, data: Float64Array.from(data) };
}

/** Normal elements. */
export function randomMatrix(rows: number, cols: number, name: string, seed = 17): Matrix {
  const data = Random.of(seed, name).fillNormal(new Float64Array(rows * cols));
  return { rows, cols, data };
}

/** [size, size] with `values` on the diagonal. */
export function diagonal(values: readonly number[]): Matrix {
  const size = values.length;
  const data = new Float64Array(size * size);
  values.forEach((value, i) => (data[i * size + i] = value));
  return { rows: size, cols: size, data };
}

export function transposed({ rows, cols, data }: Matrix): Matrix {
  const result = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) result[j * rows + i] = data[i * cols + j];
  }
  return { rows: cols, cols: rows, data: result };
}

/** a · b · … */
export function product(first: Matrix, ...others: readonly Matrix[]): Matrix {
  return others.reduce((a, b) => {
    if (a.cols !== b.rows) throw new Error('product: shapes');
    const data = new Float64Array(a.rows * b.cols);
    for (let i = 0; i < a.rows; i++) {
      for (let k = 0; k < a.cols; k++) {
        const x = a.data[i * a.cols + k];
        for (let j = 0; j < b.cols; j++) data[i * b.cols + j] += x * b.data[k * b.cols + j];
      }
    }
    return { rows: a.rows, cols: b.cols, data };
  }, first);
}

/** x · a + y · b */
export function combined(x: number, a: Matrix, y: number, b: Matrix): Matrix {
  return { ...a, data: a.data.map((value, i) => x * value + y * b.data[i]) };
}

/** Frobenius norm. */
export function norm({ data }: Matrix): number {
  return Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
}

/** ‖a − b‖ / ‖b‖ */
export function distance(a: Matrix, b: Matrix): number {
  return norm(combined(1, a, -1, b)) / norm(b);
}

/** Largest element of |AᵀA − I|; NaN stays NaN. */
export function skew(a: Matrix): number {
  const gram = product(transposed(a), a);
  const one = diagonal(new Array<number>(a.cols).fill(1));
  return combined(1, gram, -1, one).data.reduce((worst, x) => Math.max(worst, Math.abs(x)), 0);
}

/** Orthonormal columns of the same span, by Gram and Schmidt, twice over. */
export function orthonormal(a: Matrix): Matrix {
  const columns = transposed(a);
  const { rows: count, cols: size, data } = columns;
  for (let c = 0; c < count; c++) {
    const own = data.subarray(c * size, (c + 1) * size);
    for (let other = 0; other < 2 * c; other++) {
      const by = data.subarray((other % c) * size, ((other % c) + 1) * size);
      const share = own.reduce((sum, x, i) => sum + x * by[i], 0);
      for (let i = 0; i < size; i++) own[i] -= share * by[i];
    }
    const length = Math.sqrt(own.reduce((sum, x) => sum + x * x, 0));
    for (let i = 0; i < size; i++) own[i] /= length;
  }
  return transposed(columns);
}

/** Inverse by Gauss and Jordan with pivots. */
export function inverse(a: Matrix): Matrix {
  const n = a.rows;
  const work = Array.from({ length: n }, (_, i) =>
    Array.from({ length: 2 * n }, (_unused, j) =>
      j < n ? a.data[i * n + j] : Number(j - n === i),
    ),
  );
  for (let c = 0; c < n; c++) {
    const best = work
      .slice(c)
      .reduce((most, row, i) => (Math.abs(row[c]) > Math.abs(work[c + most][c]) ? i : most), 0);
    [work[c], work[c + best]] = [work[c + best], work[c]];
    const pivot = work[c][c];
    for (let j = 0; j < 2 * n; j++) work[c][j] /= pivot;
    for (let i = 0; i < n; i++) {
      const factor = work[i][c];
      if (i === c) continue;
      for (let j = 0; j < 2 * n; j++) work[i][j] -= factor * work[c][j];
    }
  }
  return { rows: n, cols: n, data: Float64Array.from(work.flatMap((row) => row.slice(n))) };
}

/**
 * W = U Σ Vᵀ by one-sided Jacobi: `left` U [O, K], `values` descending, `right` Σ Vᵀ [K, I] for the first
 * K singular values.
 */
export function decomposed(w: Matrix, rank: number) {
  // Rotations of the columns of Wᵀ's narrow side make them orthogonal: A V = U Σ.
  const wide = w.rows < w.cols;
  const a = transposed(wide ? transposed(w) : w); // rows are the columns to rotate
  const v = transposed(diagonal(new Array<number>(a.rows).fill(1)));
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < a.rows; p++) for (let q = p + 1; q < a.rows; q++) rotate(a, v, p, q);
  }
  const lengths = Array.from({ length: a.rows }, (_, i) =>
    Math.sqrt(rowOf(a, i).reduce((sum, x) => sum + x * x, 0)),
  );
  const order = lengths.map((_, i) => i).sort((i, j) => lengths[j] - lengths[i]);
  const kept = order.slice(0, rank);
  const values = order.map((i) => lengths[i]);
  const units = stacked(kept.map((i) => rowOf(a, i).map((x) => x / lengths[i])));
  const others = stacked(kept.map((i) => rowOf(v, i)));
  const left = transposed(wide ? others : units);
  return { left, values, right: product(transposed(left), w) };
}

function rowOf({ cols, data }: Matrix, row: number): Float64Array {
  return data.subarray(row * cols, (row + 1) * cols);
}

function stacked(rows: readonly Float64Array[]): Matrix {
  return matrix(
    rows.length,
    rows[0].length,
    rows.flatMap((row) => [...row]),
  );
}

function rotate(a: Matrix, v: Matrix, p: number, q: number): void {
  const dot = (i: number, j: number) => {
    const other = rowOf(a, j);
    return rowOf(a, i).reduce((sum, x, k) => sum + x * other[k], 0);
  };
  const across = dot(p, q);
  if (Math.abs(across) < 1e-300) return;
  const zeta = (dot(q, q) - dot(p, p)) / (2 * across);
  const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent);
  for (const m of [a, v]) {
    const [first, second] = [rowOf(m, p), rowOf(m, q)];
    for (let k = 0; k < m.cols; k++) {
      const [x, y] = [first[k], second[k]];
      first[k] = cosine * (x - tangent * y);
      second[k] = cosine * (tangent * x + y);
    }
  }
}
