/**
 * Starting values of parameters, drawn by (seed, parameter name): the same on every executor, and a
 * parameter's values do not depend on which others exist.
 */
import type { Initial } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';
import { Random } from '../random.js';

/** Normal draws further out than this many standard deviations are drawn again. */
const TRUNCATION = 2;

/** Values of a parameter of `shape` before training. */
export function initialValues(
  initial: Initial,
  shape: Shape,
  seed: number,
  name: string,
): Float32Array {
  const values = new Float32Array(elements(shape));
  const random = Random.of(seed, 'parameter', name);
  switch (initial.kind) {
    case 'zeros':
      return values;
    case 'ones':
      return values.fill(1);
    case 'truncatedNormal': {
      const { std } = initial;
      return values.map(() => random.truncatedNormal(std, -TRUNCATION * std, TRUNCATION * std));
    }
    case 'normal':
      return values.map(() => random.normal() * initial.std);
    case 'uniform':
      return values.map(() => (2 * random.uniform() - 1) * initial.bound);
  }
  return initial satisfies never;
}
