/**
 * Squeeze-excitation against PyTorch in float64: reference/fixtures/image-ops.safetensors, written by
 * reference/image_ops_fixture.py.
 */
import { describe, expect, it } from 'vitest';
import { backpropagate } from '../src/autodiff.js';
import { isParameter } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import type { ActivationKind } from '../src/nn/activations.js';
import { activation } from '../src/nn/activations.js';
import { squeezeExcite } from '../src/nn/squeeze-excite.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { fixture, values } from './golden.js';
import { agree, evaluate } from './ops-evaluate.js';

const file = fixture('../../../reference/fixtures/image-ops.safetensors');

/** Parameters by their names in the fixture. */
const NAMES: Readonly<Record<string, string>> = {
  'se.fc1.weight': 'reduce',
  'se.fc1.bias': 'reduce_bias',
  'se.fc2.weight': 'expand',
  'se.fc2.bias': 'expand_bias',
};

function squeeze(activation: ActivationKind, gate: ActivationKind) {
  const builder = new GraphBuilder();
  const x = builder.input('x', f32(2, 5, 4, 10));
  const options = { reduced: 4, activation, gate, convolutions: ['fc1', 'fc2'] } as const;
  const y = squeezeExcite(builder, 'se', x, options);
  const dy = builder.input('dy', y.type);
  return { x, y, dy, graph: builder.build({ y }) };
}

describe('squeeze-excitation agrees with PyTorch', () => {
  it.each([
    ['mobilenet', 'relu', 'hard-sigmoid'],
    ['efficientnet', 'silu', 'sigmoid'],
  ] as const)('%s', (name, kind, gate) => {
    if (!file) throw new Error('the fixture is missing');
    const { x, y, dy, graph } = squeeze(kind, gate);
    const parameters = graph.values.filter(isParameter);
    expect(parameters.map((value) => value.name)).toEqual(Object.keys(NAMES));
    const back = backpropagate(graph, [{ of: y, seed: dy }], [x, ...parameters]);
    const tensor = (key: string) => values(file, `squeeze.${name}.${key}`);
    const contents = evaluate(
      back.graph,
      new Map([
        [x.id, tensor('x')],
        [dy.id, tensor('d_out')],
        ...parameters.map((value) => [value.id, tensor(NAMES[value.name])] as const),
      ]),
    );
    const near = (id: number | undefined, key: string) => {
      const got = id === undefined ? undefined : contents.get(id);
      expect(got && agree(got, tensor(key), 1e-9, 1e-12), key).toBe(true);
    };
    near(y.id, 'out');
    near(back.gradients.get(x.id), 'd_x');
    for (const value of parameters) near(back.gradients.get(value.id), `d_${NAMES[value.name]}`);
  });

  it('is one pass over the image for its mean and one to scale it', () => {
    const { graph } = squeeze('relu', 'hard-sigmoid');
    expect(graph.nodes.map(({ op, name }) => `${name}: ${op}`)).toEqual([
      'se.reshape: reshape',
      'se.mean: mean_tokens',
      'se.fc1: matmul',
      'se.act: clamp',
      'se.fc2: matmul',
      'se.gate: hard_sigmoid',
      'se.scale: scale_channels',
    ]);
  });
});

describe('activations by name', () => {
  it.each([
    ['none', [-4, -1, 0.5, 7]],
    ['relu', [0, 0, 0.5, 7]],
    ['relu6', [0, 0, 0.5, 6]],
    ['hard-swish', [-0, -1 / 3, 0.5 * (3.5 / 6), 7]],
    ['hard-sigmoid', [0, 1 / 3, 3.5 / 6, 1]],
    ['silu', [-4, -1, 0.5, 7].map((x) => x / (1 + Math.exp(-x)))],
    ['sigmoid', [-4, -1, 0.5, 7].map((x) => 1 / (1 + Math.exp(-x)))],
  ] as const)('%s', (kind, expected) => {
    const builder = new GraphBuilder();
    const x = builder.input('x', f32(4));
    const y = activation(builder, 'act', x, kind);
    const graph = builder.build({ y });
    const contents = evaluate(graph, new Map([[x.id, Float64Array.of(-4, -1, 0.5, 7)]]));
    const got = contents.get(y.id) ?? new Float64Array();
    expect(agree(got, Float64Array.from(expected), 1e-12, 1e-15)).toBe(true);
  });
});
