/** The errors of the shape rules, word for word. */
import { expect, it } from 'vitest';
import { ShapeError } from '../src/errors.js';
import type { Params } from '../src/ir/graph.js';
import { f32, i32, i8, type TensorType } from '../src/ir/types.js';
import { opNamed } from '../src/ops/index.js';

const matmul = { transA: false, transB: false, gelu: false, batched: false };
const image = { patch: 4, inverse: false, channels: 3, height: 8, width: 6 };
const windows = { shift: 0, columnMajor: false, inverse: false };
const sgd = { momentum: 0, nesterov: false, weightDecay: 0 };
const check = (
  name: string,
  types: Record<string, TensorType>,
  params: Params,
  expected: string,
  got: string,
) => ({ name, types, params, expected, got });

it.each([
  check('accumulate', { acc: f32(2), x: f32(3) }, {}, 'x of type f32[2]', 'f32[3]'),
  check(
    'adamw',
    { param: f32(2), grad: f32(2), m: f32(2), v: f32(2), lr: f32(), correction: f32(3) },
    { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0 },
    'correction of type f32[2]',
    'f32[3]',
  ),
  check(
    'add',
    { a: f32(4, 2, 3), b: f32(4, 3) },
    {},
    'b to match the last axes of a f32[4,2,3]',
    'f32[4,3]',
  ),
  check('assign', { target: f32(2), value: f32(3) }, {}, 'value of type f32[2]', 'f32[3]'),
  check(
    'attention',
    { qkv: f32(2, 5, 30) },
    { heads: 4 },
    'qkv of width 3 · 4 heads · head width',
    'f32[2,5,30]',
  ),
  check(
    'attention',
    { qkv: f32(2, 4, 24), bias: f32(1, 4, 4) },
    { heads: 2 },
    'bias of type f32[2,4,4]',
    'f32[1,4,4]',
  ),
  check(
    'attention',
    { qkv: f32(9, 4, 24) },
    { heads: 2, shift: 1, height: 4, width: 4 },
    'qkv of the windows of images of 4 × 4 tokens, larger than their shift 1',
    'f32[9,4,24]',
  ),
  check(
    'attention_grad',
    { qkv: f32(2, 4, 24), y: f32(2, 4, 8), lse: f32(2, 2, 4), dy: f32(2, 4, 8) },
    { heads: 2, biasGradient: true },
    'a bias, whose gradient is wanted',
    'none',
  ),
  check(
    'broadcast_tokens',
    { x: f32(2, 3) },
    { tokens: 0, scale: 1 },
    'tokens to be an integer of at least 1',
    'tokens 0',
  ),
  check('clip_scale', { total: f32() }, { maxNorm: 0 }, 'maxNorm above 0', 'maxNorm 0'),
  check('cholesky', { a: f32(2, 3) }, { ridge: 0 }, 'a square matrix a', 'f32[2,3]'),
  check('cholesky', { a: f32(2, 2) }, { ridge: -1 }, 'ridge of 0 or more', 'ridge -1'),
  check(
    'concat_tokens',
    { a: f32(2, 1, 4), b: f32(3, 5, 4) },
    {},
    'a of batch 3 or 1 and width 4, as b',
    'f32[2,1,4]',
  ),
  check('dequantise', { q: i8(2, 3), scale: f32(3) }, {}, 'scale of type f32[2]', 'f32[3]'),
  check(
    'dequantise',
    { q: f32(2, 3), scale: f32(2) },
    {},
    'q of form i8[...,D], extents at least 1',
    'f32[2,3]',
  ),
  check('quantise', { x: f32() }, {}, 'x of form f32[...,D], extents at least 1', 'f32[]'),
  check('fill', { x: i32(2) }, { value: 0 }, 'x of form f32[...], extents at least 1', 'i32[2]'),
  check('gelu', { x: f32(0) }, {}, 'x of form f32[...], extents at least 1', 'f32[0]'),
  check(
    'layernorm',
    { x: f32(2, 4), gamma: f32(2), beta: f32(4) },
    { eps: 1e-6 },
    'gamma of type f32[4]',
    'f32[2]',
  ),
  check(
    'layernorm_grad_params',
    { x: f32(2, 4), mean: f32(2), rstd: f32(2), dy: f32(2, 4) },
    { gamma: false, beta: false },
    'gamma, beta or both',
    'neither',
  ),
  check(
    'matmul',
    { a: f32(2, 3), b: f32(4, 5) },
    matmul,
    'b with inner extent 3, as a',
    'f32[4,5]',
  ),
  check(
    'matmul',
    { a: f32(2, 3), b: f32(3, 5), bias: f32(3) },
    matmul,
    'bias of type f32[5]',
    'f32[3]',
  ),
  check(
    'matmul',
    { a: f32(2, 3, 4), b: f32(3, 4, 5) },
    { ...matmul, batched: true },
    'b with leading axes [2], as a',
    'f32[3,4,5]',
  ),
  check(
    'matmul',
    { a: f32(2, 6, 4), b: f32(3, 4, 5) },
    { ...matmul, transA: true },
    'b with leading axes [2,6], as a',
    'f32[3,4,5]',
  ),
  check(
    'mean_tokens',
    { x: f32(2, 4) },
    {},
    'x of form f32[B,N,D], extents at least 1',
    'f32[2,4]',
  ),
  check(
    'pad_tokens',
    { x: f32(2, 3, 4) },
    { tokens: 4, start: 2 },
    'x to fit into 4 tokens from token 2',
    'f32[2,3,4]',
  ),
  check('mode_contract', { x: f32(3), z: f32(3) }, { mode: 0 }, 'x of rank 2 to 4', 'f32[3]'),
  check(
    'mode_contract',
    { x: f32(2, 3, 4), z: f32(2, 5, 3) },
    { mode: 1 },
    'z of type f32[2,5,4]',
    'f32[2,5,3]',
  ),
  check(
    'mode_product',
    { x: f32(2, 3), u: f32(2, 3) },
    { mode: 2, transposed: false },
    'a mode of x, 0 to 1',
    'mode 2',
  ),
  check(
    'mode_product',
    { x: f32(2, 3, 4), u: f32(2, 4) },
    { mode: 1, transposed: false },
    'u with 3 columns',
    'f32[2,4]',
  ),
  check(
    'mode_product',
    { x: f32(2, 3, 4), u: f32(2, 3) },
    { mode: 1, transposed: true },
    'u with 3 rows',
    'f32[2,3]',
  ),
  check(
    'orthonormalise',
    { y: f32(3, 2) },
    {},
    'y with at most as many rows as columns',
    'f32[3,2]',
  ),
  check(
    'patchify',
    { x: f32(2, 3, 8, 6) },
    image,
    'an image that patches of side 4 tile exactly',
    'height 8, width 6',
  ),
  check(
    'patchify',
    { x: f32(2, 3, 8, 6) },
    { ...image, width: 8 },
    'x of type f32[2,3,8,8]',
    'f32[2,3,8,6]',
  ),
  check(
    'relative_position_bias',
    { table: f32(9, 3) },
    { window: 3 },
    'table of type f32[25,3]',
    'f32[9,3]',
  ),
  check(
    'relative_position_bias_grad',
    { dy: f32(3, 4, 4) },
    { window: 3 },
    'dy for windows of 9 tokens',
    'f32[3,4,4]',
  ),
  check(
    'reshape',
    { x: f32(2, 3) },
    { shape: '4,2' },
    'a shape of 6 elements for x of type f32[2,3]',
    '[4,2]',
  ),
  check('multiply', { a: f32(2, 3), b: f32(3) }, {}, 'b of shape [2,3] or [2]', 'f32[3]'),
  check('scale', { x: f32(2) }, { factor: NaN }, 'a finite factor', 'factor NaN'),
  check(
    'sgd',
    { param: f32(2), grad: f32(2), lr: f32() },
    { ...sgd, momentum: 0.9 },
    'no momentum without a velocity',
    'momentum 0.9, nesterov false',
  ),
  check(
    'slice_tokens',
    { x: f32(2, 3, 4) },
    { start: 2, count: 2 },
    'x with 4 or more tokens',
    'f32[2,3,4]',
  ),
  check(
    'softmax_cross_entropy',
    { logits: f32(2, 3), labels: f32(2) },
    { smoothing: 0 },
    'labels of type i32[2]',
    'f32[2]',
  ),
  check(
    'softmax_cross_entropy',
    { logits: f32(2, 3), labels: i32(2) },
    { smoothing: 1 },
    'smoothing in [0, 1)',
    'smoothing 1',
  ),
  check('sum_rows', { x: f32(2, 3) }, { axes: 3 }, 'x of rank 3 or more', 'f32[2,3]'),
  check('sum_squares', { x: f32(2), total: f32(1) }, {}, 'total of type f32[]', 'f32[1]'),
  check(
    'windows',
    { x: f32(1, 4, 6, 5) },
    { ...windows, height: 4, width: 6, window: 4 },
    'an image that windows of side 4 tile exactly, shifted by less',
    'height 4, width 6, shift 0',
  ),
  check(
    'windows',
    { x: f32(5, 4, 3) },
    { ...windows, height: 4, width: 4, window: 2, inverse: true },
    'x of type f32[4,4,3]',
    'f32[5,4,3]',
  ),
  check(
    'velocity',
    { velocity: f32(2), grad: f32(2) },
    { momentum: 0.9, nesterov: false, weightDecay: 0.1 },
    'no weight decay without a param',
    'weightDecay 0.1',
  ),
])('$name: expected $expected, got $got', ({ name, types, params, expected, got }) => {
  const infer = () => opNamed(name).infer(types, params, 'blocks.0');
  expect(infer).toThrow(ShapeError);
  expect(infer).toThrow(
    `blocks.0: expected ${expected}, got ${got}. Check the shapes that flow into this node.`,
  );
});
