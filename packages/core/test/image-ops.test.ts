/**
 * Small ops of convolutional networks against PyTorch in float64: reference/fixtures/image-ops.safetensors, written by
 * reference/image_ops_fixture.py. The tests of all ops hold the executors to these references.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../src/errors.js';
import { readSafetensors } from '../src/formats/safetensors.js';
import type { Params } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { opNamed, OPS } from '../src/ops/index.js';
import { pooled, type PoolParams } from '../src/ops/pool-sizes.js';
import { metadata, values } from './golden.js';
import { agree, gradientGraph, gradientsOf, mapRecord, runReference } from './ops-evaluate.js';

const path = new URL('../../../reference/fixtures/image-ops.safetensors', import.meta.url);
const file = readSafetensors(new Uint8Array(readFileSync(path)));
const CASES = [...file.metadata.keys()].flatMap((key) =>
  key.endsWith('.op') ? [{ name: key.slice(0, -'.op'.length), op: metadata(file, key) }] : [],
);

describe('references agree with PyTorch', () => {
  it.each(CASES)('$op: $name', ({ name, op: opName }) => {
    const op = opNamed(opName);
    const params = JSON.parse(metadata(file, `${name}.params`)) as Params;
    const operands = op.inputs.filter((key) => file.tensors.has(`${name}.${key}`));
    const inputs = Object.fromEntries(operands.map((key) => [key, values(file, `${name}.${key}`)]));
    const types = mapRecord(inputs, (_, key) =>
      f32(...(file.tensors.get(`${name}.${key}`)?.shape ?? [])),
    );
    const near = (got: ArrayLike<number>, key: string) => {
      expect(agree(Float64Array.from(got), values(file, `${name}.${key}`), 1e-9, 1e-12), key).toBe(
        true,
      );
    };
    near(runReference(op, inputs, types, params).y, 'out');
    const graph = gradientGraph(op, types, params, () => true);
    const gradients = gradientsOf(graph, inputs, { y: values(file, `${name}.d_out`) });
    expect(Object.keys(gradients).sort()).toEqual([...operands].sort());
    for (const key of operands) near(gradients[key], `d_${key}`);
  });
});

describe('clamp', () => {
  const result = (x: readonly number[], params: { low?: number; high?: number }) =>
    runReference(OPS.clamp, { x: Float64Array.from(x) }, { x: f32(x.length) }, params).y;

  it('keeps NaN, and infinity on a side without a bound', () => {
    expect([...result([NaN, Infinity, -Infinity], { low: 0 })]).toEqual([NaN, Infinity, 0]);
    expect([...result([NaN, Infinity, -Infinity], { high: 6 })]).toEqual([NaN, 6, -Infinity]);
  });

  it.each([
    [{}, 'low undefined, high undefined'],
    [{ low: 2, high: 2 }, 'low 2, high 2'],
  ])('refuses %j', (params, got) => {
    const found = () => OPS.clamp.infer({ x: f32(3) }, params, 'act');
    expect(found).toThrow(ShapeError);
    expect(found).toThrow(`act: expected low, high, or a low below high, got ${got}`);
  });
});

describe('windows', () => {
  const result = (params: PoolParams) => OPS.max_pool.infer({ x: f32(2, 8, 6, 4) }, params, 'pool');

  it('are as many as fit into the image and its padding', () => {
    expect(result(pooled(3, 2, 1)).y.shape).toEqual([2, 4, 3, 4]);
    expect(result({ ...pooled(3, 2, 0), padBottom: 1, padRight: 1 }).y.shape).toEqual([2, 4, 3, 4]);
    expect(result(pooled(2, 3, 0)).place).toEqual({ dtype: 'i8', shape: [2, 3, 2, 4] });
  });

  it.each([
    [pooled(3, 0, 0), 'stride to be an integer of at least 1'],
    [pooled(3, 1, 3), "padTop below the kernel's 3 pixels"],
    [pooled(7, 1, 0), 'an image with padding that holds 7 × 7'],
    [pooled(12, 1, 11), 'a kernel of at most 11'],
  ])('refuses %j', (params, expected) => {
    const found = () => result(params);
    expect(found).toThrow(ShapeError);
    expect(found).toThrow(expected);
  });

  it('finds NaN the largest, and the first of equal pixels', () => {
    const x = Float64Array.from([1, 3, 3, 2, NaN, 5]);
    const { y, place } = runReference(
      OPS.max_pool,
      { x },
      { x: f32(1, 1, 6, 1) },
      { ...pooled(3, 3, 0), padBottom: 2 },
    );
    expect([...y]).toEqual([3, NaN]);
    expect([...place]).toEqual([1, 1]);
  });
});
