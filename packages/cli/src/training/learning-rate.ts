/** Peak learning rates that work when none is given. */
import { parameters, type ModelGraph } from '@thimble/core';

/**
 * By optimiser; lower where pretrained blocks train, since it would wash them out.
 *
 * Measured for SGD with momentum 0.9 on a pretrained vit-tiny-16 and 150 photos of five flowers,
 * batch 8, four epochs of `full`: 96.0 % with 0.001, 94.7 % with 0.0003, divergence with 0.003. On 250 photos,
 * batch 16, both `full` and `wasi=0.8` are worse at 0.002 than at 0.001 (docs/methods.md, few photos).
 *
 * @param model as the method trains it
 */
export function defaultLearningRate(
  optimizer: string,
  model: ModelGraph,
  scratch: boolean,
): number {
  const gentle = !scratch && blocksTrain(model);
  if (optimizer === 'adamw') return gentle ? 1e-4 : 1e-3;
  return gentle ? 1e-3 : 1e-2;
}

/** Whether anything but the classifier trains. */
function blocksTrain({ graph, head }: ModelGraph): boolean {
  return parameters(graph).some(({ name, source }) => source.trainable && !name.startsWith(head));
}
