/**
 * backward: a part of the model with its backward pass behind it, from inputs `x` and `dy` to the gradients
 * that a measurement reads.
 */
import { backpropagate } from '../autodiff.js';
import { required } from '../errors.js';
import type { Graph, Value } from '../ir/graph.js';
import { GraphBuilder } from '../ops/builder.js';
import type { Part } from './cut.js';

export interface BackwardPart {
  /** No outputs yet. */
  readonly graph: Graph;
  /** dL/d(of) of the part's `x` or of a value of `wanted`. Throws InternalError where it has none. */
  gradient(of: Value): Value;
}

/** @param wanted values beside `x` whose gradients are read: results of the part's nodes */
export function backwardPart(part: Part, wanted: readonly Value[] = []): BackwardPart {
  const forward = new GraphBuilder(part.graph);
  const dy = forward.input('dy', part.y.type);
  const { graph, gradients } = backpropagate(
    forward.build({}),
    [{ of: part.y, seed: dy }],
    [part.x, ...wanted],
  );
  return {
    graph,
    gradient: ({ id, name }) => {
      const where = `${part.name}, gradient of ${name}`;
      return graph.values[required(gradients.get(id), where, 'a path to y')];
    },
  };
}
