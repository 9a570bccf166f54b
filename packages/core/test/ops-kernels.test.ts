/** What the op records and the C sources must agree on: argument structs and memory formulas. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { programHeader } from '../../../scripts/program-header.js';
import { f32 } from '../src/ir/types.js';
import { attentionSizes } from '../src/ops/attention-grad.js';
import { OPS } from '../src/ops/index.js';
import { mapRecord } from './ops-evaluate.js';

function source(name: string): string {
  return readFileSync(new URL(`../../../kernels/${name}`, import.meta.url), 'utf8');
}

/** The value of `#define NAME value`; a product of integers is multiplied out. */
function constant(file: string, name: string): number {
  const value = new RegExp(`#define ${name} \\(?([0-9 *]+)\\)?$`, 'm').exec(source(file))?.[1];
  if (value === undefined) throw new Error(`kernels/${file} defines no ${name}`);
  return value.split('*').reduce((product, factor) => product * Number(factor), 1);
}

/** Bytes that attention.h gives as an example: "N = 197, d = 64, tile = 64: 176 KB forward, ...". */
function documentedKilobytes(direction: 'forward' | 'backward'): number {
  const example = /N = 197, d = 64, tile = 64: .*/.exec(source('attention.h'))?.[0] ?? '';
  return Number(new RegExp(`(\\d+) KB ${direction}`).exec(example)?.[1]);
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
  });

  it('sum_squares has a double for each piece of reduce.c', () => {
    const bytes = OPS.sum_squares.workspace?.({ x: f32(9), y: f32() }, {});
    expect(bytes).toBe(8 * constant('reduce.c', 'PIECES'));
  });

  it('attention and its gradient have the scratch that attention.h documents', () => {
    const types = { qkv: f32(1, 197, 3 * 64), y: f32(1, 197, 64), lse: f32(1, 1, 197) };
    expect(attentionSizes(types.qkv, 1).tile).toBe(64);
    const forward = OPS.attention.scratch?.(types, { heads: 1 });
    const backward = OPS.attention_grad.scratch?.(
      { ...types, dy: types.y, dqkv: types.qkv },
      { heads: 1 },
    );
    const kilobytes = mapRecord({ forward, backward }, (bytes) => Math.round((bytes ?? 0) / 1024));
    expect(kilobytes).toEqual({
      forward: documentedKilobytes('forward'),
      backward: documentedKilobytes('backward'),
    });
  });
});
