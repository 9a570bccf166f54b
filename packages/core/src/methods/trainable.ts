/** Which parameters train: methods only take away, so that several together train what all of them would. */
import { isParameter, type ModelGraph, type Value } from '../ir/graph.js';
import { mapLeaves } from '../ir/rewrite.js';

/** The model with those of its trainable parameters still trainable that `trains` names. */
export function trainOnly(model: ModelGraph, trains: (name: string) => boolean): ModelGraph {
  const mark = (leaf: Value): Value =>
    isParameter(leaf)
      ? {
          ...leaf,
          source: { ...leaf.source, trainable: leaf.source.trainable && trains(leaf.name) },
        }
      : leaf;
  return { ...model, graph: mapLeaves(model.graph, mark) };
}
