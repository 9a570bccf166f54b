/** The gradients of a train graph as values. */
import type { TrainGraph, ValueId } from '../src/ir/graph.js';

/** Name of the parameter and value of its gradient, of all that are known as tensors. */
export function denseGradients({
  gradients,
}: Pick<TrainGraph, 'gradients'>): readonly (readonly [string, ValueId])[] {
  return [...gradients].flatMap(([name, gradient]) =>
    gradient.kind === 'dense' ? [[name, gradient.value] as const] : [],
  );
}
