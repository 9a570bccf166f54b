/**
 * Weights in any form as the dense ones that they stand for: L·R of a low-rank weight, W + (α/r) B·A of a
 * weight with an adapter.
 */
import { CheckpointError } from '../errors.js';
import { firstNotFinite } from '../finite.js';
import { checkpointed, type ModelGraph } from '../ir/graph.js';
import type { DType, Shape } from '../ir/types.js';
import type { Numbers, WeightForm } from '../ir/weight-form.js';

/** A tensor of a dense checkpoint. */
export interface MergedTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /**
   * Computed anew at each call, so that one weight at a time is held. Throws CheckpointError where a weight is
   * beyond float32, although its parts are not.
   */
  read(): Numbers;
}

/**
 * The parameters and buffers of the dense model that `model` stands for; those that live as they are
 * unchanged.
 *
 * @param model what `method.forward` returned
 * @param read the current value of a parameter or buffer of `model`
 *
 * @example
 * const tensors = mergedWeights(method.forward(build(1)), (name) => file.read(name));
 */
export function mergedWeights(
  { graph, forms = [] }: ModelGraph,
  read: (parameter: string) => Numbers,
): readonly MergedTensor[] {
  const formOf = new Map(forms.flatMap((form) => form.parts.map((part) => [part, form] as const)));
  return checkpointed(graph).flatMap(({ name, type }): readonly MergedTensor[] => {
    const form = formOf.get(name);
    const { shape, dtype } = type;
    if (!form) return [{ name, shape, dtype, read: () => read(name) }];
    if (form.parts[0] !== name) return [];
    const { weight } = form;
    return [{ name: weight, shape: form.shape, dtype: 'f32', read: () => merged(form, read) }];
  });
}

function merged(form: WeightForm, read: (parameter: string) => Numbers): Numbers {
  const dense = form.toDense(read);
  const at = firstNotFinite(dense);
  if (at < 0) return dense;
  const factors = form.parts.filter((part) => part !== form.weight);
  throw new CheckpointError({
    where: `weight ${form.weight}`,
    expected: `a product of ${factors.join(' and ')} that float32 can hold`,
    got: `${String(dense[at])} at element ${String(at)}`,
    todo: 'Its training diverged; use another checkpoint',
  });
}
