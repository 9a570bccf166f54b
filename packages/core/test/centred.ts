/**
 * A small model with buffers (a running mean, which training moves and evaluation reads, and an offset in 8 bits) and
 * a table.
 */
import type { ModelBuilder } from '../src/compile.js';
import type { Value } from '../src/ir/graph.js';
import { f32, i32, i8 } from '../src/ir/types.js';
import { linear } from '../src/nn/layers.js';
import { add } from '../src/ops/add.js';
import { assign } from '../src/ops/assign.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { dequantise } from '../src/ops/dequantise.js';
import { gelu } from '../src/ops/gelu.js';
import { meanTokens } from '../src/ops/mean-tokens.js';
import { reshaped } from '../src/ops/reshape.js';
import { scale } from '../src/ops/scale.js';
import { softmaxCrossEntropy } from '../src/ops/softmax-cross-entropy.js';

export const WIDTH = 16;
export const HIDDEN = 3;
export const CLASSES = 2;
/** Share of the old mean that stays. */
export const KEPT = 0.75;

/** images [B, 16] plus offset → fc 3 → minus the mean → GELU → head 2 plus a prior → cross-entropy. */
export const centred: ModelBuilder = (batch, mode) => {
  const builder = new GraphBuilder();
  const images = builder.input('images', f32(batch, WIDTH));
  const labels = builder.input('labels', i32(batch));
  const moved = builder.emit(add, { a: images, b: offset(builder) }, {}, 'moved').y;
  const hidden = linear(builder, 'fc', moved, HIDDEN);
  const mean = builder.buffer('norm.mean', f32(1, HIDDEN), { kind: 'zeros' });
  const used = mode === 'eval' ? mean : batchMean(builder, hidden);
  const minus = builder.emit(scale, { x: used }, { factor: -1 }, 'norm.minus').y;
  const { y: x } = builder.emit(add, { a: hidden, b: minus }, {}, 'norm');
  if (mode === 'train') follow(builder, mean, used);
  const { y } = builder.emit(gelu, { x }, {}, 'act');
  const scores = linear(builder, 'head', y, CLASSES);
  const b = builder.table('prior', f32(CLASSES), Float32Array.of(0.5, -0.25));
  const logits = builder.emit(add, { a: scores, b }, {}, 'prior').y;
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing: 0 }, 'loss');
  return { graph: builder.build({ logits, loss }), blocks: [], tail: [], head: 'head.' };
};

function offset(builder: GraphBuilder): Value {
  const q = builder.buffer('offset.q', i8(1, WIDTH), { kind: 'ones' });
  const factor = builder.buffer('offset.scale', f32(1), { kind: 'ones' });
  return builder.emit(dequantise, { q, scale: factor }, {}, 'offset').x;
}

/** [1, H] */
function batchMean(builder: GraphBuilder, x: Value): Value {
  const rows = reshaped(builder, x, [1, ...x.type.shape]);
  return builder.emit(meanTokens, { x: rows }, {}, 'norm.mean').y;
}

/** target ← KEPT · target + (1 − KEPT) · value */
function follow(builder: GraphBuilder, target: Value, value: Value): void {
  const a = builder.emit(scale, { x: target }, { factor: KEPT }, 'norm.old').y;
  const b = builder.emit(scale, { x: value }, { factor: 1 - KEPT }, 'norm.new').y;
  const next = builder.emit(add, { a, b }, {}, 'norm.next').y;
  builder.emit(assign, { target, value: next }, {}, 'norm.follow');
}
