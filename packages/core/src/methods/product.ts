/** Products of two matrices on the host, for weights that live as such. */
import type { Numbers } from '../ir/weight-form.js';

/**
 * base + scale · left · right, [O, I]: `left` [O, K], `right` [K, I]. Sums in float64, rounded once.
 *
 * @param base [O, I]; null: zeros
 */
export function sumWithProduct(
  base: Numbers | null,
  left: Numbers,
  right: Numbers,
  rank: number,
  scale = 1,
): Float32Array {
  const inputs = right.length / rank;
  const outputs = left.length / rank;
  const result = new Float32Array(outputs * inputs);
  const row = new Float64Array(inputs);
  for (let o = 0; o < outputs; o++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scale * left[o * rank + k];
      for (let i = 0; i < inputs; i++) row[i] += factor * right[k * inputs + i];
    }
    for (let i = 0; i < inputs; i++) {
      const at = o * inputs + i;
      result[at] = row[i] + (base ? base[at] : 0);
    }
  }
  return result;
}
