/** simplify: the passes that every graph goes through before it is planned, in their order. */
import type { Graph } from '../ir/graph.js';
import { fold } from './fold.js';
import { fuse } from './fuse.js';
import { prune } from './prune.js';

export function simplify(graph: Graph): Graph {
  // What fold left dead must not count as a reader when fuse looks for the only one.
  return prune(fuse(prune(fold(graph))));
}
