/** Which inputs are compressed, with which ranks, in which order; and what is refused. */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { ConfigError } from '../src/errors.js';
import { isParameter, type ModelGraph } from '../src/ir/graph.js';
import { mapLeaves } from '../src/ir/rewrite.js';
import { f32, type Shape } from '../src/ir/types.js';
import { compressInputs } from '../src/methods/tucker.js';
import { compressible, compressions, typicalRanks } from '../src/methods/tucker-ranks.js';
import { add } from '../src/ops/add.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { matmul, TRANSPOSED_B } from '../src/ops/matmul.js';
import { reshaped } from '../src/ops/reshape.js';
import { modelOf, TINY } from './tiny-vit.js';
import { linearModel, WEIGHT } from './tucker-linear.js';

describe('freed inputs', () => {
  it('are those that only gradients of weights read', () => {
    const model = modelOf({ ...TINY, depth: 1 })(2);
    const names = (layers: 'mlp' | 'all') =>
      compressible(model, layers).map(({ weight }) => weight);
    expect(names('mlp')).toEqual(['blocks.0.mlp.fc1.weight', 'blocks.0.mlp.fc2.weight']);
    expect(names('all')).toEqual([
      'blocks.0.attn.qkv.weight',
      'blocks.0.attn.proj.weight',
      'blocks.0.mlp.fc1.weight',
      'blocks.0.mlp.fc2.weight',
    ]);
  });

  it('are those of linears that train', () => {
    const model = frozen(modelOf(TINY)(2), (name) => name.startsWith('blocks.0.'));
    expect(compressible(model, 'mlp').map(({ weight }) => weight)).toEqual([
      'blocks.1.mlp.fc1.weight',
      'blocks.1.mlp.fc2.weight',
    ]);
    expect(compressions(model, { 'blocks.0.mlp.fc1.weight': [1, 1, 1] })).toEqual([]);
  });

  it('have all linears that read them compressed', () => {
    const model = twoReaders('linears');
    const [one, two] = ['blocks.0.mlp.k.weight', 'blocks.0.mlp.q.weight'];
    const chosen = (ranks: Readonly<Record<string, readonly number[]>>) =>
      compressions(model, ranks).map(({ linear }) => linear.weight);
    expect(chosen({ [one]: [1, 2, 3], [two]: [1, 2, 2] })).toEqual([one, two]);
    expect(chosen({ [one]: [1, 2, 3] })).toEqual([]);
    expect(chosen({ [one]: [1, 2, 3], [two]: [2, 3, 4] })).toEqual([]);
  });

  it('are not kept under another shape', () => {
    expect(compressible(twoReaders('view'), 'mlp')).toEqual([]);
  });

  it('have a token axis', () => {
    expect(compressible(linearModel({ shape: [6, 5], outputs: 3 }), 'mlp')).toEqual([]);
  });
});

describe('ranks', () => {
  const modes = (shape: Shape, ranks: readonly number[]) =>
    compressions(linearModel({ shape, outputs: 2 }), { [WEIGHT]: ranks }).flatMap(
      (compression) => compression.modes,
    );

  it('skip modes of full rank', () => {
    expect(modes([2, 3, 4], [2, 2, 4])).toEqual([{ axis: 1, extent: 3, rank: 2 }]);
    expect(modes([2, 3, 4], [2, 3, 4])).toEqual([]);
  });

  it('are lowered to what an unfolding can have', () => {
    expect(modes([2, 3, 20], [1, 1, 9])).toEqual([
      { axis: 0, extent: 2, rank: 1 },
      { axis: 1, extent: 3, rank: 1 },
      { axis: 2, extent: 20, rank: 6 },
    ]);
    // Of full rank all the same: the identity loses nothing either.
    expect(modes([2, 3, 20], [2, 3, 20])).toEqual([]);
  });

  it.each([
    [
      [3, 5],
      `Tucker ranks of ${WEIGHT}: expected 3 ranks, a mode of its input [6,10,20] each, got ` +
        '[3,5]. Find the ranks again for this model.',
    ],
    [
      [3, 5, 21],
      `Tucker ranks of ${WEIGHT}: expected a whole number from 1 to 20 for mode 2 of its input ` +
        '[6,10,20], got 21. Find the ranks again for this model and batch size.',
    ],
    [
      [0, 5, 8],
      `Tucker ranks of ${WEIGHT}: expected a whole number from 1 to 6 for mode 0 of its input ` +
        '[6,10,20], got 0. Find the ranks again for this model and batch size.',
    ],
    [
      [3, 2.5, 8],
      `Tucker ranks of ${WEIGHT}: expected a whole number from 1 to 10 for mode 1 of its input ` +
        '[6,10,20], got 2.5. Find the ranks again for this model and batch size.',
    ],
  ])('refuses %j', (ranks, message) => {
    expect(() => modes([6, 10, 20], ranks)).toThrow(ConfigError);
    expect(() => modes([6, 10, 20], ranks)).toThrow(message);
  });

  it('refuses names that the model does not have', () => {
    const model = linearModel({ shape: [6, 10, 20], outputs: 2 });
    expect(() => compressions(model, { 'head.weight': [1, 1, 1] })).toThrow(
      'Tucker ranks: expected weights of linears in the blocks of the model, got "head.weight". ' +
        'Find the ranks again for this model.',
    );
  });

  it('of a plan without images follow a typical spectrum', () => {
    const model = modelOf({ ...TINY, imageSize: 20, width: 20, mlpRatio: 5, depth: 1 })(50);
    const fc2 = (epsilon: number) => typicalRanks(model, epsilon, 'mlp')['blocks.0.mlp.fc2.weight'];
    // ⌈50 ε^1.7⌉, ⌈101 ε^4⌉, ⌈100 ε^6⌉
    expect(fc2(0.4)).toEqual([11, 3, 1]);
    expect(fc2(0.8)).toEqual([35, 42, 27]);
    expect(fc2(0.9)).toEqual([42, 67, 54]);
    expect(fc2(1)).toEqual([50, 101, 100]);
  });
});

it('takes the modes in the order of fewest operations', () => {
  // By hand, in multiply-adds. Core: mode 1 first (3·9·20·1), then 0 (3·1·20·2), then 2 (2·1·20·7).
  // dy is reduced over 1 (3·9·4·1), then 0 (3·1·4·2); 0 before 1 would be 216 + 72.
  const model = linearModel({ shape: [3, 9, 20], outputs: 4 });
  const train = differentiate(model.graph, 'loss');
  const { graph } = compressInputs(train, model, { [WEIGHT]: [2, 1, 7] }, 'whole');
  const modesOf = (name: string) =>
    graph.nodes.filter((node) => node.name.includes(name)).map(({ params }) => params.mode);
  expect(modesOf('.core')).toEqual([1, 0, 2]);
  expect(modesOf('.tucker.g')).toEqual([1, 0]);
});

/** Two linears on one input; or one whose input, as a view, goes through another gradient. */
function twoReaders(kind: 'linears' | 'view'): ModelGraph {
  const builder = new GraphBuilder();
  const initial = { kind: 'zeros' } as const;
  const images = builder.input('images', f32(2, 3, 4));
  const shift = builder.parameter('shift', f32(2, 3, 4), { initial });
  const x = builder.emit(add, { a: images, b: shift }, {}, 'x').y;
  const linear = (name: string) => {
    const b = builder.parameter(`blocks.0.mlp.${name}.weight`, f32(4, 4), { initial });
    return builder.emit(matmul, { a: x, b }, TRANSPOSED_B, name).y;
  };
  const other =
    kind === 'linears'
      ? linear('k')
      : reshaped(builder, builder.emit(gelu, { x: reshaped(builder, x, [6, 4]) }, {}).y, [2, 3, 4]);
  const y = builder.emit(add, { a: linear('q'), b: other }, {}, 'y').y;
  const row = reshaped(builder, y, [1, 24]);
  const square = builder.emit(matmul, { a: row, b: row }, TRANSPOSED_B, 'square').y;
  const loss = reshaped(builder, square, []);
  return { graph: builder.build({ loss }), blocks: ['blocks.0.'], tail: [], head: 'head.' };
}

function frozen(model: ModelGraph, freeze: (name: string) => boolean): ModelGraph {
  const graph = mapLeaves(model.graph, (leaf) =>
    isParameter(leaf) && freeze(leaf.name)
      ? { ...leaf, source: { ...leaf.source, trainable: false } }
      : leaf,
  );
  return { ...model, graph };
}
