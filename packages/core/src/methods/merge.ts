/**
 * Factored weights as the dense ones that they stand for: L·R of a low-rank weight, W + (α/r) B·A of a
 * weight with an adapter. Sums in float64, rounded once.
 */
import { CheckpointError } from '../errors.js';
import { firstNotFinite } from '../finite.js';
import { checkpointed, isParameter, type ModelGraph } from '../ir/graph.js';
import type { DType, Shape } from '../ir/types.js';
import { linears, type Linear } from './linears.js';

/** Any array of numbers. */
type Numbers = Float32Array | Float64Array | Int32Array | Int8Array;

/**
 * base + scale · left · right, [O, I]: `left` [O, K], `right` [K, I].
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

/** A tensor of a dense checkpoint. */
export interface MergedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /**
   * Computed anew at each call, so that one weight at a time is held. Throws CheckpointError where a product is
   * beyond float32, although its factors are not.
   */
  read(): Numbers;
}

/**
 * The parameters and buffers of the dense model that `model`, in factored form, stands for: what is in factors
 * multiplied out, the rest as it is.
 *
 * @param model what `method.forward` returned
 * @param read the current value of a parameter or buffer of `model`
 *
 * @example
 * const tensors = mergedWeights(method.forward(build(1)), (name) => file.read(name));
 */
export function mergedWeights(
  model: ModelGraph,
  read: (parameter: string) => Numbers,
): readonly MergedTensor[] {
  const factored = new Map(
    linears(model, 'all')
      .filter(({ form }) => form.kind !== 'dense')
      .map((linear) => [linear.weight, linear]),
  );
  return checkpointed(model.graph).flatMap((value): readonly MergedTensor[] => {
    const { name, type } = value;
    const factor = isParameter(value) ? value.source.factor : undefined;
    const linear = factored.get(factor?.weight ?? name);
    const { shape, dtype } = type;
    if (!linear) return [{ name, shape, dtype, read: () => read(name) }];
    const { weight, outputs, inputs, form } = linear;
    // The left side, or the weight beside an adapter, marks the place of the whole.
    if (factor && (form.kind === 'adapter' || factor.side === 'right')) return [];
    return [
      { name: weight, shape: [outputs, inputs], dtype: 'f32', read: () => merged(linear, read) },
    ];
  });
}

function merged({ form, weight }: Linear, read: (parameter: string) => Numbers): Numbers {
  if (form.kind === 'dense') return read(weight);
  const { left, right } = form;
  const [rank] = right.type.shape;
  const [base, scale] = form.kind === 'adapter' ? [read(form.weight.name), form.scale] : [null, 1];
  const product = sumWithProduct(base, read(left.name), read(right.name), rank, scale);
  const at = firstNotFinite(product);
  if (at < 0) return product;
  throw new CheckpointError({
    where: `weight ${weight}`,
    expected: `a product of ${left.name} and ${right.name} that float32 can hold`,
    got: `${String(product[at])} at element ${String(at)}`,
    todo: 'Its training diverged; use another checkpoint',
  });
}
