/** The gradient of every op against central differences in float64, on the op's own samples. */
import { describe, expect, it } from 'vitest';
import type { Value } from '../src/ir/graph.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS } from '../src/ops/index.js';
import type { Data } from '../src/ops/op.js';
import { Random } from '../src/random.js';
import {
  agree,
  ALL_OPS,
  CASES,
  consistent,
  contents,
  dataOf,
  gradientGraph,
  gradientsOf,
  mapRecord,
  runReference,
  SAVED,
  typesOf,
  WITHOUT_GRADIENT,
} from './ops-evaluate.js';

/** dL/dt at 0 of L(input + t · direction), by the five-point stencil: error O(h⁴). */
function slope(loss: (data: Data) => number, at: Data, direction: Data): number {
  const h = 1e-4;
  const moved = (t: number) => loss(at.map((x, i) => x + t * direction[i]));
  return (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
}

/** A random direction through all elements, then some elements one by one. */
function directions(size: number, random: Random): Data[] {
  const all = random.fillUniform(new Float64Array(size), -1, 1);
  const picked = Array.from({ length: Math.min(size, 6) }, (_, i) =>
    size <= 6 ? i : random.below(size),
  );
  const single = picked.map((index) => {
    const direction = new Float64Array(size);
    direction[index] = 1;
    return direction;
  });
  return [all, ...single];
}

describe.each(CASES.filter(({ op }) => op.grad))('gradient of $title', ({ op, sample }) => {
  const types = typesOf(sample);
  const data = consistent(op, dataOf(op, sample), types, sample.params);
  const without = WITHOUT_GRADIENT[op.name] ?? [];
  const real = Object.keys(types).filter(
    (key) => types[key].dtype === 'f32' && !without.includes(key),
  );
  const built = gradientGraph(op, types, sample.params, (input) => real.includes(input));
  const random = Random.of(2, op.name, sample.title);
  const weights = mapRecord(built.outputGrads, ({ type }) => contents({ type }, random));

  it('agrees with central differences', () => {
    const gradients = gradientsOf(built, data, weights);
    expect(Object.keys(gradients).sort()).toEqual([...real].sort());
    for (const key of real) {
      const loss = (moved: Data) => {
        const inputs = consistent(op, { ...data, [key]: moved }, types, sample.params);
        const outputs = runReference(op, inputs, types, sample.params);
        let sum = 0;
        for (const [name, weight] of Object.entries(weights)) {
          for (let i = 0; i < weight.length; i++) sum += weight[i] * outputs[name][i];
        }
        return sum;
      };
      for (const direction of directions(data[key].length, random)) {
        let expected = 0;
        for (let i = 0; i < direction.length; i++) expected += gradients[key][i] * direction[i];
        const found = slope(loss, data[key], direction);
        // Rounding of the loss, about 1e-14, over h = 1e-4 gives the absolute part.
        const tolerance = 1e-6 * Math.abs(expected) + 1e-9;
        if (!(Math.abs(found - expected) <= tolerance)) {
          throw new Error(`d${key}: differences give ${found}, the gradient ${expected}`);
        }
      }
    }
  });

  it('gives each input alone the same gradient, and no other', () => {
    const together = gradientsOf(built, data, weights);
    for (const key of real) {
      const alone = gradientGraph(op, types, sample.params, (input) => input === key);
      const gradients = gradientsOf(alone, data, weights);
      expect(Object.keys(gradients)).toEqual([key]);
      expect(agree(gradients[key], together[key], 1e-12, 1e-15)).toBe(true);
    }
    expect(gradientGraph(op, types, sample.params, () => false).gradients).toEqual({});
  });
});

describe('saved outputs', () => {
  const saving = ALL_OPS.flatMap((op) => (SAVED[op.name] ?? []).map((output) => ({ op, output })));

  it.each(saving)('a loss that depends on $output of $op.name is refused', ({ op, output }) => {
    const sample = op.samples.find(({ inputs, params }) => {
      return (
        output in
        op.infer(
          mapRecord(inputs, ({ type }) => type),
          params,
          op.name,
        )
      );
    });
    if (!sample) throw new Error(`${op.name} has no sample with ${output}`);
    const builder = new GraphBuilder();
    const inputs = mapRecord(sample.inputs, ({ type }, key) => builder.input(key, type));
    const outputs: Readonly<Record<string, Value>> = builder.emit(op, inputs, sample.params);
    const outputGrads = { [output]: builder.input('d', outputs[output].type) };
    const { params } = sample;
    const context = { emitter: builder, params, inputs, outputs, outputGrads, needs: () => true };
    expect(() => op.grad?.(context)).toThrow(
      `gradient of ${op.name}: expected a loss that does not depend on "${output}"`,
    );
  });

  it('dβ of layernorm alone reads neither x nor the statistics', () => {
    const sample = OPS.layernorm.samples[0];
    const { graph } = gradientGraph(
      OPS.layernorm,
      typesOf(sample),
      sample.params,
      (input) => input === 'beta',
    );
    expect(graph.nodes.map((node) => node.op)).toEqual(['layernorm', 'sum_rows']);
  });
});
