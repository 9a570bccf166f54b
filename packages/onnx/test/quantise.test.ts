/** 8-bit weights of every kind of column, by themselves and in onnxruntime. */
import { Random } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { floats, type Initializer, type OnnxGraph } from '../src/graph.js';
import { quantise } from '../src/quantise.js';
import { runOnnx } from './models.js';

const INPUTS = 64;
const random = Random.of(3, 'columns');
const normal = (scale: number) =>
  Float32Array.from({ length: INPUTS }, () => scale * random.normal());

/** Each a column of the weight. */
const COLUMNS: Readonly<Record<string, Float32Array>> = {
  usual: normal(0.02),
  zeros: new Float32Array(INPUTS),
  constant: new Float32Array(INPUTS).fill(-0.37),
  'one of them': new Float32Array(INPUTS).fill(5, 9, 10),
  small: normal(1e-20),
  'at the least normal number': normal(2 ** -126),
  'below it': normal(3e-44),
  'the least': new Float32Array(INPUTS).fill(1.4e-45),
  large: normal(1e30),
  'as large as can be': new Float32Array(INPUTS).fill(3.4e38, 0, 1),
};
const NAMES = Object.keys(COLUMNS);
const OUTPUTS = 32;
/** [I, O], the columns again and again. */
const WEIGHT = Float32Array.from(
  { length: INPUTS * OUTPUTS },
  (_, at) => COLUMNS[NAMES[(at % OUTPUTS) % NAMES.length]][Math.floor(at / OUTPUTS)],
);

const GRAPH: OnnxGraph = {
  inputs: [{ name: 'x', type: 'float32', shape: [4, INPUTS] }],
  outputs: [{ name: 'y', type: 'float32', shape: [4, OUTPUTS] }],
  nodes: [{ name: 'product', op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'], attributes: {} }],
  initializers: [{ name: 'w', type: 'float32', shape: [INPUTS, OUTPUTS], read: () => WEIGHT }],
};

const QUANTISED = quantise(GRAPH);
const tensor = (name: string): Initializer => {
  const found = QUANTISED.initializers.find((each) => each.name === name);
  if (!found) throw new Error(`no ${name}`);
  return found;
};

describe('a weight in 8 bits', () => {
  const levels = tensor('w/int8').read() as Int8Array;
  const scales = floats(tensor('w/scale').read());

  it.each(NAMES)('is within half a step of itself: %s', (name) => {
    const column = NAMES.indexOf(name);
    expect(scales[column]).toBeGreaterThan(0);
    COLUMNS[name].forEach((weight, row) => {
      const q = levels[row * OUTPUTS + column];
      expect(Math.abs(q)).toBeLessThanOrEqual(64);
      // Less than 2⁻¹²⁰ counts as nothing.
      const step = Math.max(scales[column], 2 ** -119);
      if (scales[column] === 1) expect(Math.abs(weight)).toBeLessThan(2 ** -120);
      else expect(Math.abs(q * scales[column] - weight)).toBeLessThanOrEqual(0.5 * step);
    });
  });

  it('has the products of itself in onnxruntime, of zeros too', async () => {
    const x = Float32Array.from({ length: 4 * INPUTS }, (_, i) =>
      i < INPUTS ? 0 : random.uniform() - 0.5,
    );
    const feeds = { x: { data: x, shape: [4, INPUTS] } };
    const { data: exact } = await runOnnx(GRAPH, feeds);
    const { data: found } = await runOnnx(QUANTISED, feeds);
    found.forEach((value, at) => {
      const column = at % OUTPUTS;
      const largest = Math.max(...COLUMNS[NAMES[column % NAMES.length]].map(Math.abs));
      // 64 steps to the weight, 255 to the input, of 64 products.
      const most = 0.03 * largest * INPUTS;
      expect(Math.abs(value - exact[at]), `column ${String(column)}`).toBeLessThanOrEqual(most);
    });
  });
});
