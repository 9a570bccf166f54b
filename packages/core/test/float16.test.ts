/** float16 and bfloat16: rounding, every bit pattern, whole tensors. */
import { describe, expect, it } from 'vitest';
import {
  bfloat16Bits,
  bfloat16Value,
  bfloat16Words,
  float16Bits,
  float16Floats,
  float16Value,
  float16Words,
} from '../src/formats/float16.js';
import { fixture } from './golden.js';

describe('16-bit floats', () => {
  it('round like NumPy at every kind of boundary', () => {
    const file = fixture('../../../reference/fixtures/float16.safetensors');
    const values = file?.tensors.get('value')?.toFloat64() ?? [];
    expect(values.length).toBeGreaterThan(100);
    expect([...values].map(float16Bits)).toEqual([...(file?.tensors.get('bits')?.toInt32() ?? [])]);
  });

  it('survive a round trip of every bit pattern', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const half = float16Value(bits);
      const brain = bfloat16Value(bits);
      if (!Number.isNaN(half) && float16Bits(half) !== bits) expect.fail(`float16 ${bits}`);
      if (!Number.isNaN(brain) && bfloat16Bits(brain) !== bits) expect.fail(`bfloat16 ${bits}`);
    }
    expect([float16Bits(NaN), bfloat16Bits(NaN)]).toEqual([0x7e00, 0x7fc0]);
  });

  it('are the same for a whole tensor, at and beside every float16 and every middle of two', () => {
    const values: number[] = [
      NaN,
      -NaN,
      Infinity,
      -Infinity,
      65519.99,
      65520,
      1e30,
      -1e-30,
      2 ** -149,
    ];
    for (let bits = 0; bits < 0x7c00; bits++) {
      const value = float16Value(bits);
      const middle = (value + (bits === 0x7bff ? 65536 : float16Value(bits + 1))) / 2;
      for (const near of [value, middle])
        values.push(near, near * (1 + 2 ** -23), near * (1 - 2 ** -23));
    }
    const all = Float32Array.from([...values, ...values.map((value) => -value)]);
    expect(float16Words(all)).toEqual(Uint16Array.from(all, float16Bits));
    expect(float16Words(all.subarray(3, 9))).toEqual(
      Uint16Array.from(all.subarray(3, 9), float16Bits),
    );
  });

  it('are the same for a whole tensor, at and beside every 97th bfloat16 and middle of two', () => {
    const values: number[] = [NaN, -NaN, Infinity, -Infinity, 3.4e38, 1e-45];
    for (let bits = 0; bits < 0x7f80; bits += 97) {
      const [value, next] = [bfloat16Value(bits), bfloat16Value(bits + 1)];
      for (const near of [value, Number.isFinite(next) ? (value + next) / 2 : 3.39e38])
        values.push(near, near * (1 + 2 ** -23), near * (1 - 2 ** -23));
    }
    const all = Float32Array.from([...values, ...values.map((value) => -value)]);
    // Rounding by doubles: to the nearer neighbour, of two equally near ones to the even pattern.
    const nearest = (value: number): number => {
      if (Number.isNaN(value)) return 0x7fc0;
      const magnitude = Math.abs(value);
      const sign = Object.is(Math.sign(value), -1) || Object.is(value, -0) ? 0x8000 : 0;
      if (magnitude >= 2 ** 128 - 2 ** 119) return sign | 0x7f80;
      let down = 0;
      for (let step = 0x4000; step > 0; step >>= 1)
        if (down + step < 0x7f80 && bfloat16Value(down + step) <= magnitude) down += step;
      const up = down + 1 < 0x7f80 ? bfloat16Value(down + 1) : 2 ** 128;
      const side = magnitude - bfloat16Value(down) - (up - magnitude);
      return sign | (side > 0 || (side === 0 && down % 2 === 1) ? down + 1 : down);
    };
    expect(bfloat16Words(all)).toEqual(Uint16Array.from(all, nearest));
    expect(Uint16Array.from(all, bfloat16Bits)).toEqual(bfloat16Words(all));
  });
});

it('float16 tensors are read at any address, every bit pattern as alone', () => {
  const bits = Uint16Array.from({ length: 0x10000 }, (_, index) => index);
  const shifted = new Uint8Array(2 * bits.length + 1);
  shifted.set(new Uint8Array(bits.buffer), 1);
  expect(float16Floats(shifted.subarray(1))).toEqual(Float32Array.from(bits, float16Value));
});
