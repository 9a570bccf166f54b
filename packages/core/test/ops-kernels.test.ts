/** What the op records and the C sources must agree on: argument structs and memory formulas. */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { programHeader } from '../../../scripts/program-header.js';
import { f32 } from '../src/ir/types.js';
import { attentionSizes } from '../src/ops/attention-sizes.js';
import { BATCH_NORM_ACTIVATIONS } from '../src/ops/batch-norm-activation.js';
import { conv2dGradWeightScratch } from '../src/ops/conv2d-scratch.js';
import { conv2dSizes, VALID } from '../src/ops/conv2d-sizes.js';
import { OPS } from '../src/ops/index.js';
import { roundUp } from '../src/ops/shapes.js';

function source(name: string): string {
  return readFileSync(new URL(`../../../kernels/${name}`, import.meta.url), 'utf8');
}

/** The value of `#define NAME value`; a product of integers is multiplied out. */
function constant(file: string, name: string): number {
  const value = new RegExp(`#define ${name} \\(?([0-9 *]+)\\)?$`, 'm').exec(source(file))?.[1];
  if (value === undefined) throw new Error(`kernels/${file} defines no ${name}`);
  return value.split('*').reduce((product, factor) => product * Number(factor), 1);
}

/**
 * A function of a header, whose bodies are JavaScript once the types are gone: declarations, sums
 * and products of integers, calls of one another and of round_up, and divisions without a rest.
 */
function formula(file: string, name: string): (...sizes: readonly number[]) => number {
  const pattern = /static inline i64 (\w+)\((.*)\) (\{[^}]*\})/g;
  const functions = [...source(file).matchAll(pattern)].map(
    ([, known, parameters, body]) =>
      `function ${known}(${parameters.replaceAll('i64 ', '')}) ${body.replaceAll('i64 ', 'let ')}`,
  );
  const code = `${functions.join('\n')}\n${name}`;
  return runInNewContext(code, { round_up: roundUp }) as ReturnType<typeof formula>;
}

describe('kernels/program.h', () => {
  it('is what scripts/program-header.ts generates', () => {
    expect(source('program.h')).toBe(programHeader());
  });

  it('keeps lines within 100 columns and comments closed once', () => {
    for (const line of programHeader().split('\n')) {
      expect([...line].length).toBeLessThanOrEqual(100);
      expect(line.split('*/').length).toBeLessThanOrEqual(2);
    }
  });
});

it.each(Object.entries(BATCH_NORM_ACTIVATIONS))(
  '%s is what activation.h calls it',
  (name, { code }) => {
    const macro = `ACTIVATION_${name.replace('-', '_').toUpperCase()}`;
    expect(constant('activation.h', macro)).toBe(code);
  },
);

describe('memory formulas', () => {
  it('matmul has the scratch of gemm.h', () => {
    const [{ inputs, params }] = OPS.matmul.samples;
    const types = { a: inputs.a.type, b: inputs.b.type };
    const scratch = OPS.matmul.scratch?.(
      { ...types, ...OPS.matmul.infer(types, params, '') },
      params,
    );
    expect(scratch).toBe(constant('gemm.h', 'GEMM_SCRATCH_BYTES'));
  });

  it('sums over rows have a partial sum for each chunk of loop.h', () => {
    const chunks = constant('loop.h', 'CHUNKS');
    const x = f32(9, 7);
    const one = OPS.sum_rows.workspace?.({ x, y: f32(7) }, { axes: 1 });
    expect(one).toBe(chunks * 7 * 4);
    const statistics = { mean: f32(9), rstd: f32(9), dy: x };
    const two = OPS.layernorm_grad_params.workspace?.(
      { x, ...statistics },
      { gamma: true, beta: true },
    );
    expect(two).toBe(2 * chunks * 7 * 4);
    const moments = OPS.batch_norm_statistics.workspace?.(
      { x, mean: f32(7), variance: f32(7) },
      {},
    );
    expect(moments).toBe(3 * chunks * 7 * 4);
  });

  it('sum_squares has a double for each piece of reduce.c', () => {
    const bytes = OPS.sum_squares.workspace?.({ x: f32(9), y: f32() }, {});
    expect(bytes).toBe(8 * constant('reduce.c', 'PIECES'));
  });

  it('convolutions stage pieces of the size of conv.h behind the scratch of gemm.h', () => {
    const staged = 4 * constant('conv.h', 'PIECE') * constant('gemm.h', 'BLOCK_K');
    const { x, dy, dw } = { x: f32(1, 4, 4, 8), dy: f32(1, 4, 4, 8), dw: f32(1, 1, 8, 8) };
    expect(conv2dGradWeightScratch(conv2dSizes(x, dw, dy, VALID))).toBe(
      constant('gemm.h', 'GEMM_SCRATCH_BYTES') + staged,
    );
  });

  const extents = [
    [197, 64],
    [50, 64],
    [17, 5],
    [1, 1],
    [65, 130],
  ];

  it.each(extents)(
    'attention of %d tokens, %d per head, has the scratch of attention.h',
    (n, d) => {
      const types = { qkv: f32(1, n, 3 * d), y: f32(1, n, d), lse: f32(1, 1, n) };
      const { tile } = attentionSizes(types.qkv, { heads: 1 });
      const forward = OPS.attention.scratch?.(types, { heads: 1 });
      expect(forward).toBe(formula('attention.h', 'attention_scratch')(n, d, tile));
      const all = { ...types, dy: types.y, dqkv: types.qkv };
      const backward = OPS.attention_grad.scratch?.(all, { heads: 1 });
      expect(backward).toBe(formula('attention.h', 'attention_grad_scratch')(n, d, tile));
    },
  );

  it.each([1, 16, 17, 256])('cholesky of %d rows has the memory of linalg.h', (size) => {
    const types = { a: f32(size, size), c: f32(size, size), inverse: f32(size, size) };
    const params = { ridge: 0 };
    const workspace = OPS.cholesky.workspace?.(types, params);
    expect(workspace).toBe(formula('linalg.h', 'cholesky_workspace')(size));
    const scratch = OPS.cholesky.scratch?.(types, params);
    expect(scratch).toBe(formula('linalg.h', 'cholesky_scratch')(size));
  });

  it.each([
    [1, 1],
    [17, 40],
    [3, 200000],
    [256, 3072],
  ])('orthonormalise of %d rows of %d has the memory of linalg.h', (rows, cols) => {
    const types = { y: f32(rows, cols), q: f32(rows, cols) };
    const workspace = OPS.orthonormalise.workspace?.(types, {});
    expect(workspace).toBe(formula('linalg.h', 'orthonormalise_workspace')(rows, cols));
    const scratch = OPS.orthonormalise.scratch?.(types, {});
    expect(scratch).toBe(formula('linalg.h', 'orthonormalise_scratch')(rows));
  });

  it.each([
    [1, 8, 16],
    [1, 8, 300],
    [7, 8, 16],
    [7, 33, 197],
    [7, 5, 768],
  ])('mode_contract, %d behind the axis, has the memory of tucker.h', (inner, rows, extent) => {
    const types = { x: f32(2, extent, inner), z: f32(2, rows, inner), y: f32(rows, extent) };
    const workspace = OPS.mode_contract.workspace?.(types, { mode: 1 });
    expect(workspace).toBe(formula('tucker.h', 'mode_contract_workspace')(inner, rows, extent));
  });

  it.each([
    [1, 1],
    [1, 197],
    [3, 32],
    [8, 65],
    [8, 300],
  ])('symmetric_eigen of %d matrices of %d rows has the memory of eigen.h', (batch, size) => {
    const types = { a: f32(batch, size, size), values: f32(batch, size) };
    const workspace = OPS.symmetric_eigen.workspace?.(types, {});
    expect(workspace).toBe(formula('eigen.h', 'eigen_workspace')(batch, size, 0));
    const all = OPS.symmetric_eigen.workspace?.({ ...types, vectors: types.a }, {});
    expect(all).toBe(formula('eigen.h', 'eigen_workspace')(batch, size, 1));
    const scratch = OPS.symmetric_eigen.scratch?.(types, {});
    expect(scratch).toBe(formula('eigen.h', 'eigen_scratch')(size));
  });
});
