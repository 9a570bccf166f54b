/**
 * Convolutions against PyTorch in float64: reference/fixtures/conv.safetensors, written by
 * reference/conv_fixture.py. The tests of all ops hold the executors to these references.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../src/errors.js';
import { readSafetensors } from '../src/formats/safetensors.js';
import { f32 } from '../src/ir/types.js';
import { OPS } from '../src/ops/index.js';
import { padded, VALID, type Conv2dParams } from '../src/ops/conv2d-sizes.js';
import { metadata, values } from './golden.js';
import { agree, gradientGraph, gradientsOf, mapRecord, runReference } from './ops-evaluate.js';

const path = new URL('../../../reference/fixtures/conv.safetensors', import.meta.url);
const file = readSafetensors(new Uint8Array(readFileSync(path)));
const CASES = [...file.metadata.keys()].flatMap((key) =>
  key.endsWith('.params') ? [key.slice(0, -'.params'.length)] : [],
);

describe('references agree with PyTorch', () => {
  it.each(CASES)('conv2d: %s', (name) => {
    const params = JSON.parse(metadata(file, `${name}.params`)) as Conv2dParams;
    const operands = ['x', 'w', 'bias'].filter((key) => file.tensors.has(`${name}.${key}`));
    const inputs = Object.fromEntries(operands.map((key) => [key, values(file, `${name}.${key}`)]));
    const types = mapRecord(inputs, (_, key) =>
      f32(...(file.tensors.get(`${name}.${key}`)?.shape ?? [])),
    );
    const near = (got: ArrayLike<number>, key: string) => {
      expect(agree(Float64Array.from(got), values(file, `${name}.${key}`), 1e-9, 1e-12), key).toBe(
        true,
      );
    };
    near(runReference(OPS.conv2d, inputs, types, params).y, 'out');
    const graph = gradientGraph(OPS.conv2d, types, params, () => true);
    const gradients = gradientsOf(graph, inputs, { y: values(file, `${name}.d_out`) });
    expect(Object.keys(gradients).sort()).toEqual([...operands].sort());
    for (const key of operands) near(gradients[key], `d_${key}`);
  });
});

describe('shapes', () => {
  const x = f32(2, 8, 6, 4);
  const result = (w: readonly number[], params: Conv2dParams) =>
    OPS.conv2d.infer({ x, w: f32(...w) }, params, 'conv').y.shape;

  it('are those of the places that the kernel has', () => {
    expect(result([3, 3, 4, 5], VALID)).toEqual([2, 6, 4, 5]);
    expect(result([3, 3, 4, 5], padded(1, { stride: 2 }))).toEqual([2, 4, 3, 5]);
    expect(result([1, 1, 2, 6], { ...VALID, stride: 3, groups: 2 })).toEqual([2, 3, 2, 6]);
    expect(result([3, 3, 4, 5], { ...padded(2), dilation: 2 })).toEqual([2, 8, 6, 5]);
  });

  it.each([
    [[3, 3, 3, 5], VALID, 'w for 4 channels and a multiple of 1 outputs in 1 groups'],
    [[3, 3, 2, 5], { ...VALID, groups: 2 }, 'w for 4 channels and a multiple of 2 outputs'],
    [[7, 7, 4, 5], VALID, 'an image that a kernel of 7 × 7 fits into with its padding'],
    [[3, 3, 4, 5], { ...VALID, stride: 0 }, 'stride to be an integer of at least 1'],
  ])('refuses %j', (w, params, expected) => {
    const found = () => result(w, params);
    expect(found).toThrow(ShapeError);
    expect(found).toThrow(expected);
  });
});

it('counts a multiplication and an addition for each tap, in all three directions', () => {
  const x = f32(2, 8, 6, 4);
  const w = f32(3, 3, 4, 5);
  const params = padded(1, { stride: 2 });
  const { y } = OPS.conv2d.infer({ x, w }, params, 'conv');
  const flops = 2 * (2 * 4 * 3 * 5) * (3 * 3 * 4);
  expect(OPS.conv2d.flops({ x, w, y }, params)).toBe(flops);
  const sides = { height: 8, width: 6 };
  expect(OPS.conv2d_grad_input.flops({ dy: y, w, dx: x }, { ...params, ...sides })).toBe(flops);
  const taps = { kernelHeight: 3, kernelWidth: 3 };
  expect(OPS.conv2d_grad_weight.flops({ x, dy: y, dw: w }, { ...params, ...taps })).toBe(flops);
});
