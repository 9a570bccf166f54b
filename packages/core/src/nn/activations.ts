/** Activations of convolutional networks by name. */
import type { Value } from '../ir/graph.js';
import type { GraphBuilder } from '../ops/builder.js';
import { clamp } from '../ops/clamp.js';
import { hardSigmoid } from '../ops/hard-sigmoid.js';
import { hardSwish } from '../ops/hard-swish.js';
import { sigmoid } from '../ops/sigmoid.js';
import { silu } from '../ops/silu.js';

/** What follows a layer; `none`: nothing. */
export type ActivationKind =
  'none' | 'relu' | 'relu6' | 'hard-swish' | 'silu' | 'hard-sigmoid' | 'sigmoid';

/** Values held within bounds of their own: what ReLU6 became in a network that was prepared for 8 bits. */
export interface ClampRange {
  readonly low: number;
  readonly high: number;
}

export type Activation = ActivationKind | ClampRange;

/** The activation of x; x itself for `none`. */
export function activation(builder: GraphBuilder, name: string, x: Value, kind: Activation): Value {
  if (typeof kind === 'object') {
    return builder.emit(clamp, { x }, { low: kind.low, high: kind.high }, name).y;
  }
  switch (kind) {
    case 'none':
      return x;
    case 'relu':
      return builder.emit(clamp, { x }, { low: 0 }, name).y;
    case 'relu6':
      return builder.emit(clamp, { x }, { low: 0, high: 6 }, name).y;
    case 'hard-swish':
      return builder.emit(hardSwish, { x }, {}, name).y;
    case 'silu':
      return builder.emit(silu, { x }, {}, name).y;
    case 'hard-sigmoid':
      return builder.emit(hardSigmoid, { x }, {}, name).y;
    case 'sigmoid':
      return builder.emit(sigmoid, { x }, {}, name).y;
  }
  return kind satisfies never;
}
