/** What the optimisers do to their states beside the updates. */
import type { Value } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import { fill } from '../ops/fill.js';

/** Sets states to zero, as which they start. */
export function zero(builder: GraphBuilder, states: readonly Value[]): void {
  for (const x of states) builder.emit(fill, { x }, { value: 0 }, `reset.${x.name}`);
}

/** Adam's moments of a tensor that is trained. */
export function momentsOf(builder: GraphBuilder, param: Value): readonly [m: Value, v: Value] {
  return [
    builder.state(`${param.name}.m`, param.type),
    builder.state(`${param.name}.v`, param.type),
  ];
}
