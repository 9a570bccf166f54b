/**
 * sites: the linears that are measured or factored, in the part of the model in which they run.
 */
import type { ModelGraph, Node, Value } from '../ir/graph.js';
import type { Linear } from '../methods/linears.js';
import { cutModel, type Part } from './cut.js';

export interface Site {
  /** Name of W in the dense model, and of its bias; null without one. */
  readonly weight: string;
  readonly bias: string | null;
  readonly outputs: number;
  readonly inputs: number;
  /** In the part's graph: [..., I] and [..., O]. */
  readonly x: Value;
  readonly y: Value;
}

export interface SitedPart {
  readonly part: Part;
  readonly sites: readonly Site[];
}

/** The parts of `model`, each with those of `linears` that run in it. */
export function sitedParts(model: ModelGraph, linears: readonly Linear[]): readonly SitedPart[] {
  return cutModel(model).map((part) => {
    const sites = linears.flatMap((linear): readonly Site[] => {
      const x = part.values.get(linear.x.id);
      const y = part.values.get(linear.y.id);
      if (!x || !y || y.id === part.x.id) return [];
      const { weight, outputs, inputs } = linear;
      return [{ weight, bias: biasOf(model, linear), outputs, inputs, x, y }];
    });
    return { part, sites };
  });
}

/** Name of the bias that is added where y is made. */
function biasOf({ graph }: ModelGraph, { y }: Linear): string | null {
  const makes = (node: Node) => Object.values(node.outputs).includes(y.id);
  const inputs: Readonly<Record<string, number | undefined>> =
    graph.nodes.find(makes)?.inputs ?? {};
  return inputs.bias === undefined ? null : graph.values[inputs.bias].name;
}
