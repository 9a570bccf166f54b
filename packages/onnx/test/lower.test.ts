/** The lowered graph as text, and what cannot be lowered. */
import {
  buildModel,
  differentiate,
  f32,
  GraphBuilder,
  GraphError,
  i32,
  i8,
  OPS,
  parameters,
  type ModelBuilder,
  type ModelGraph,
} from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { openBatch } from '../src/batch.js';
import { half } from '../src/half.js';
import { lower } from '../src/lower.js';
import { printOnnx } from '../src/print.js';
import { quantise } from '../src/quantise.js';
import { Emission, Site } from '../src/site.js';
import { ValueNames } from '../src/value-names.js';
import { modelOf, reader, TEST_MODELS, weightsOf } from './models.js';

const TINY = {
  family: 'vit',
  imageSize: 4,
  patch: 2,
  channels: 3,
  width: 4,
  depth: 1,
  heads: 2,
  mlpRatio: 2,
  classes: 3,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
} as const;

const unread = () => new Float32Array();
const tiny = (batch: number) => buildModel(TINY, { batch });

describe('lower', () => {
  it('writes a vision transformer with its batch open', () => {
    expect(printOnnx(lower(tiny, unread))).toMatchInlineSnapshot(`
      "input pixel_values: float32[batch,3,4,4]
      initializer ints/-1x3x2x2x2x2: int64[6]
      initializer ints/-1x4x12: int64[3]
      initializer patch_embed.proj.weight.T: float32[12,4]
      initializer patch_embed.proj.bias: float32[4]
      initializer cls_token: float32[1,1,4]
      initializer ints/1x1: int64[2]
      initializer pos_embed: float32[1,5,4]
      initializer ints/0: int64[1]
      initializer ints/1: int64[1]
      initializer blocks.0.norm1.weight: float32[4]
      initializer blocks.0.norm1.bias: float32[4]
      initializer blocks.0.attn.qkv.weight.T: float32[4,12]
      initializer blocks.0.attn.qkv.bias: float32[12]
      initializer ints/4x4x4: int64[3]
      initializer ints/-1x5x2x2: int64[4]
      initializer scalar/0.7071067811865475: float32[]
      initializer ints/-1x5x4: int64[3]
      initializer blocks.0.attn.proj.weight.T: float32[4,4]
      initializer blocks.0.attn.proj.bias: float32[4]
      initializer blocks.0.norm2.weight: float32[4]
      initializer blocks.0.norm2.bias: float32[4]
      initializer blocks.0.mlp.fc1.weight.T: float32[4,8]
      initializer blocks.0.mlp.fc1.bias: float32[8]
      initializer scalar/1.4142135623730951: float32[]
      initializer scalar/1: float32[]
      initializer scalar/0.5: float32[]
      initializer blocks.0.mlp.fc2.weight.T: float32[8,4]
      initializer blocks.0.mlp.fc2.bias: float32[4]
      initializer ints/-1x4: int64[2]
      initializer norm.weight: float32[4]
      initializer norm.bias: float32[4]
      initializer head.weight.T: float32[4,3]
      initializer head.bias: float32[3]
      patch_embed.patches/Reshape = Reshape(pixel_values, ints/-1x3x2x2x2x2)
      patch_embed.patches/Transpose = Transpose(patch_embed.patches/Reshape) {perm: [0,2,4,1,3,5]}
      patch_embed.patches/Reshape_2 = Reshape(patch_embed.patches/Transpose, ints/-1x4x12)
      patch_embed.proj/MatMul = MatMul(patch_embed.patches/Reshape_2, patch_embed.proj.weight.T)
      patch_embed.proj/Add = Add(patch_embed.proj/MatMul, patch_embed.proj.bias)
      class_token/Shape = Shape(patch_embed.proj/Add) {start: 0, end: 1}
      class_token/Concat = Concat(class_token/Shape, ints/1x1) {axis: 0}
      class_token/Expand = Expand(cls_token, class_token/Concat)
      class_token/Concat_2 = Concat(class_token/Expand, patch_embed.proj/Add) {axis: 1}
      position/Add = Add(class_token/Concat_2, pos_embed)
      blocks.0.residual1.tokens/Slice = Slice(position/Add, ints/0, ints/1, ints/1)
      blocks.0.norm1/LayerNormalization = LayerNormalization(position/Add, blocks.0.norm1.weight, blocks.0.norm1.bias) {axis: -1, epsilon: 0.000001}
      blocks.0.attn.qkv/MatMul = MatMul(blocks.0.norm1/LayerNormalization, blocks.0.attn.qkv.weight.T)
      blocks.0.attn.qkv/Add = Add(blocks.0.attn.qkv/MatMul, blocks.0.attn.qkv.bias)
      blocks.0.attn.mix/Split.0, blocks.0.attn.mix/Split.1, blocks.0.attn.mix/Split.2 = Split(blocks.0.attn.qkv/Add, ints/4x4x4) {axis: 2}
      blocks.0.attn.mix/Reshape = Reshape(blocks.0.attn.mix/Split.0, ints/-1x5x2x2)
      blocks.0.attn.mix/Transpose = Transpose(blocks.0.attn.mix/Reshape) {perm: [0,2,1,3]}
      blocks.0.attn.mix/Mul = Mul(blocks.0.attn.mix/Transpose, scalar/0.7071067811865475)
      blocks.0.attn.mix/Reshape_2 = Reshape(blocks.0.attn.mix/Split.1, ints/-1x5x2x2)
      blocks.0.attn.mix/Transpose_2 = Transpose(blocks.0.attn.mix/Reshape_2) {perm: [0,2,3,1]}
      blocks.0.attn.mix/MatMul = MatMul(blocks.0.attn.mix/Mul, blocks.0.attn.mix/Transpose_2)
      blocks.0.attn.mix/Softmax = Softmax(blocks.0.attn.mix/MatMul) {axis: -1}
      blocks.0.attn.mix/Reshape_3 = Reshape(blocks.0.attn.mix/Split.2, ints/-1x5x2x2)
      blocks.0.attn.mix/Transpose_3 = Transpose(blocks.0.attn.mix/Reshape_3) {perm: [0,2,1,3]}
      blocks.0.attn.mix/MatMul_2 = MatMul(blocks.0.attn.mix/Softmax, blocks.0.attn.mix/Transpose_3)
      blocks.0.attn.mix/Transpose_4 = Transpose(blocks.0.attn.mix/MatMul_2) {perm: [0,2,1,3]}
      blocks.0.attn.mix/Reshape_4 = Reshape(blocks.0.attn.mix/Transpose_4, ints/-1x5x4)
      blocks.0.attn.proj.tokens/Slice = Slice(blocks.0.attn.mix/Reshape_4, ints/0, ints/1, ints/1)
      blocks.0.attn.proj/MatMul = MatMul(blocks.0.attn.proj.tokens/Slice, blocks.0.attn.proj.weight.T)
      blocks.0.attn.proj/Add = Add(blocks.0.attn.proj/MatMul, blocks.0.attn.proj.bias)
      blocks.0.residual1/Add = Add(blocks.0.residual1.tokens/Slice, blocks.0.attn.proj/Add)
      blocks.0.norm2/LayerNormalization = LayerNormalization(blocks.0.residual1/Add, blocks.0.norm2.weight, blocks.0.norm2.bias) {axis: -1, epsilon: 0.000001}
      blocks.0.mlp.fc1/MatMul = MatMul(blocks.0.norm2/LayerNormalization, blocks.0.mlp.fc1.weight.T)
      blocks.0.mlp.fc1/Add = Add(blocks.0.mlp.fc1/MatMul, blocks.0.mlp.fc1.bias)
      blocks.0.mlp.act/Div = Div(blocks.0.mlp.fc1/Add, scalar/1.4142135623730951)
      blocks.0.mlp.act/Erf = Erf(blocks.0.mlp.act/Div)
      blocks.0.mlp.act/Add = Add(blocks.0.mlp.act/Erf, scalar/1)
      blocks.0.mlp.act/Mul = Mul(blocks.0.mlp.fc1/Add, blocks.0.mlp.act/Add)
      blocks.0.mlp.act/Mul_2 = Mul(blocks.0.mlp.act/Mul, scalar/0.5)
      blocks.0.mlp.fc2/MatMul = MatMul(blocks.0.mlp.act/Mul_2, blocks.0.mlp.fc2.weight.T)
      blocks.0.mlp.fc2/Add = Add(blocks.0.mlp.fc2/MatMul, blocks.0.mlp.fc2.bias)
      blocks.0.residual2/Add = Add(blocks.0.residual1/Add, blocks.0.mlp.fc2/Add)
      reshape/Reshape = Reshape(blocks.0.residual2/Add, ints/-1x4)
      norm/LayerNormalization = LayerNormalization(reshape/Reshape, norm.weight, norm.bias) {axis: -1, epsilon: 0.000001}
      head/MatMul = MatMul(norm/LayerNormalization, head.weight.T)
      logits = Add(head/MatMul, head.bias)
      output logits: float32[batch,3]
      "
    `);
  });

  it('reads every weight under its name, transposed where it is a matrix of a product', () => {
    const [model] = TEST_MODELS;
    const weights = weightsOf(model);
    const { initializers } = lower(modelOf(model), reader(weights));
    const names = new Set(initializers.map(({ name }) => name.replace(/\.T$/, '')));
    expect([...weights.keys()].filter((name) => !names.has(name))).toEqual([]);
    const head = initializers.find(({ name }) => name === 'head.weight.T');
    const dense = reader(weights)('head.weight');
    const [inputs, outputs] = head?.shape ?? [];
    expect([inputs, outputs]).toEqual([48, 5]);
    expect(head?.read()[1]).toBe(dense[inputs]);
    expect(head?.read()[outputs]).toBe(dense[1]);
  });

  it('holds the sides of a factored weight and not the weight', () => {
    const model = TEST_MODELS.find(({ method }) => method === 'wasi');
    if (!model) throw new Error('no factored model');
    const text = printOnnx(lower(modelOf(model), unread));
    expect(text).toMatch(
      /fc1\.low\/MatMul = MatMul\(.*fc1\.weight\.right\.T\)\n.*fc1\/MatMul = MatMul\(.*fc1\.low\/MatMul, .*fc1\.weight\.left\.T\)/,
    );
    expect(text).not.toContain('mlp.fc1.weight.T');
  });

  it('refuses what only training has', () => {
    const training = (batch: number): ModelGraph => {
      const model = tiny(batch);
      const { graph, gradients } = differentiate(model.graph, 'loss');
      const gradient = gradients.get(parameters(graph)[0].name);
      const logits = gradient?.kind === 'dense' ? gradient.value : 0;
      return { ...model, graph: { ...graph, outputs: { logits } } };
    };
    expect(() => lower(training, unread)).toThrow(
      'expected an op of a forward pass to logits, got softmax_cross_entropy_grad, which only training has. Export the forward graph of a model.',
    );
    expect(() => lower(training, unread)).toThrow(GraphError);
  });
});

/** logits = images + mean + prior: a buffer and a table. */
const kept: ModelBuilder = (batch, mode) => {
  const builder = new GraphBuilder();
  const images = builder.input('images', f32(batch, 3));
  const mean = builder.buffer('mean', f32(3), { kind: 'zeros' });
  const moved = builder.emit(OPS.add, { a: images, b: mean }, {}, 'moved').y;
  const b = builder.table('prior', f32(3), Float32Array.of(0.1, 2, -3));
  const logits = builder.emit(OPS.add, { a: moved, b }, {}, 'shifted').y;
  if (mode === 'train') {
    const value = builder.emit(OPS.scale, { x: mean }, { factor: 0.5 }, 'half').y;
    builder.emit(OPS.assign, { target: mean, value }, {}, 'follow');
  }
  return { graph: builder.build({ logits }), blocks: [], tail: [], head: 'head.' };
};

describe('buffers and tables', () => {
  it('become initialisers', () => {
    const graph = lower(kept, () => Float32Array.of(7, 8, 9));
    expect(printOnnx(graph)).toMatchInlineSnapshot(`
      "input pixel_values: float32[batch,3]
      initializer mean: float32[3]
      initializer prior: float32[3]
      moved/Add = Add(pixel_values, mean)
      logits = Add(moved/Add, prior)
      output logits: float32[batch,3]
      "
    `);
    expect(graph.initializers.map(({ name, read }) => [name, Array.from(read(), Number)])).toEqual([
      ['mean', [7, 8, 9]],
      ['prior', [Math.fround(0.1), 2, -3]],
    ]);
  });

  it('keep their integers', () => {
    const builder = new GraphBuilder();
    const images = builder.input('images', f32(2, 3));
    const signs = builder.table('signs', i8(3), Int8Array.of(1, -1, 1));
    const steps = builder.buffer('steps', i32(), { kind: 'ones' });
    const node = { name: 'n', op: 'add', params: {}, outputs: {} };
    const { values } = builder.build({});
    const graph = { values, nodes: [], outputs: {} };
    const emission = new Emission();
    const open = { graph, extents: () => [{ count: 3, perImage: false }] };
    const read = () => Int32Array.of(5);
    const inputs = { a: signs.id, b: steps.id, c: images.id };
    const site = new Site({ ...node, inputs }, open, emission, new ValueNames(), read);
    expect([site.input('a'), site.input('b')]).toEqual(['signs', 'steps']);
    const made = [...emission.initializers.values()];
    expect(made.map(({ type }) => type)).toEqual(['int8', 'int32']);
    expect(made.map((each) => each.read())).toEqual([Int8Array.of(1, -1, 1), Int32Array.of(5)]);
  });

  it('are refused where the forward pass changes them, with the node', () => {
    expect(() => lower((batch) => kept(batch, 'train'), unread)).toThrow(
      'node follow: expected an op of a forward pass to logits, got assign, which only training has.',
    );
  });

  it('are refused where they depend on the batch', () => {
    const model: ModelBuilder = (batch, mode) => {
      const { graph, ...rest } = kept(batch, mode);
      const values = graph.values.map((value) =>
        value.source.kind === 'table'
          ? { ...value, source: { ...value.source, data: Float32Array.of(batch, 2, -3) } }
          : value,
      );
      return { ...rest, graph: { ...graph, values } };
    };
    expect(() => lower(model, unread)).toThrow(
      'batch of table prior: expected an extent that is fixed or in proportion to the batch, ' +
        'got other contents for another batch.',
    );
  });
});

describe('openBatch', () => {
  it('finds the extents that count for each image', () => {
    const swin = TEST_MODELS.find(({ title }) => title === 'Swin');
    if (!swin) throw new Error('no Swin');
    const { graph, extents } = openBatch(modelOf(swin));
    const windows = graph.nodes.find(({ op }) => op === 'windows');
    expect(extents(windows?.outputs.y ?? 0)).toEqual([
      { count: 4, perImage: true },
      { count: 16, perImage: false },
      { count: 24, perImage: false },
    ]);
  });

  it('refuses an extent that is neither fixed nor in proportion', () => {
    const model = (batch: number) => {
      const builder = new GraphBuilder();
      const logits = builder.input('images', f32(batch + 1, 3));
      return { ...tiny(1), graph: builder.build({ logits }) };
    };
    expect(() => openBatch(model)).toThrow(
      'batch of images, axis 0: expected an extent that is fixed or in proportion to the batch, got 3 and 4 for batches 2 and 3. Build the model so that only its batch axes depend on the batch.',
    );
  });

  it('refuses nodes that differ between batches', () => {
    const model = (batch: number) => {
      const builder = new GraphBuilder();
      const x = builder.input('images', f32(batch, 3));
      const logits = builder.emit(OPS.scale, { x }, { factor: batch }, 'odd').y;
      return { ...tiny(1), graph: builder.build({ logits }) };
    };
    expect(() => openBatch(model)).toThrow('batch of node odd: ');
  });
});

describe('forms', () => {
  it('casts at both ends and nowhere else in float16', () => {
    const graph = half(lower(tiny, reader(tinyWeights(0.5))));
    const casts = printOnnx(graph)
      .split('\n')
      .filter((line) => line.includes(' = Cast('));
    expect(casts).toEqual([
      'pixel_values/half = Cast(pixel_values) {to: 10}',
      'logits = Cast(logits/half) {to: 1}',
    ]);
    expect(new Set(graph.initializers.map(({ type }) => type))).toEqual(
      new Set(['float16', 'int64']),
    );
  });

  it('refuses weights that float16 cannot hold', () => {
    const graph = half(lower(tiny, reader(tinyWeights(7e4))));
    const head = graph.initializers.find(({ name }) => name === 'head.bias');
    expect(() => head?.read()).toThrow(
      'tensor head.bias: expected values below 65520, which float16 can hold, got 70000 at element 0. Export as onnx, in float32.',
    );
  });

  it('quantises each product but the patch embedding, rows first behind GELU', () => {
    const [model] = TEST_MODELS;
    const text = printOnnx(quantise(lower(modelOf(model), reader(weightsOf(model)))));
    const lines = text.split('\n');
    const products = lines.filter((line) => line.includes(' = MatMulInteger('));
    expect(products).toHaveLength(8); // the classifier has 240 elements
    expect(lines.filter((line) => line.includes('fc2')).slice(-10)).toMatchInlineSnapshot(`
      [
        "blocks.0.mlp.fc2/MatMul = Mul(blocks.0.mlp.fc2/MatMul/Mul, blocks.0.mlp.act/Mul_2/Max)",
        "blocks.0.mlp.fc2/Add = Add(blocks.0.mlp.fc2/MatMul, blocks.0.mlp.fc2.bias)",
        "blocks.0.residual2/Add = Add(blocks.0.residual1/Add, blocks.0.mlp.fc2/Add)",
        "blocks.1.mlp.fc2/MatMul/MatMulInteger = MatMulInteger(blocks.1.mlp.act/Mul_2/quantised, blocks.1.mlp.fc2.weight.T/int8, blocks.1.mlp.act/Mul_2/zero, blocks.1.mlp.fc2.weight.T/zero)",
        "blocks.1.mlp.fc2/MatMul/scales = Mul(blocks.1.mlp.act/Mul_2/scale, blocks.1.mlp.fc2.weight.T/scale)",
        "blocks.1.mlp.fc2/MatMul/Cast = Cast(blocks.1.mlp.fc2/MatMul/MatMulInteger) {to: 1}",
        "blocks.1.mlp.fc2/MatMul/Mul = Mul(blocks.1.mlp.fc2/MatMul/Cast, blocks.1.mlp.fc2/MatMul/scales)",
        "blocks.1.mlp.fc2/MatMul = Mul(blocks.1.mlp.fc2/MatMul/Mul, blocks.1.mlp.act/Mul_2/Max)",
        "blocks.1.mlp.fc2/Add = Add(blocks.1.mlp.fc2/MatMul, blocks.1.mlp.fc2.bias)",
        "blocks.1.residual2/Add = Add(blocks.1.residual1/Add, blocks.1.mlp.fc2/Add)",
      ]
    `);
    expect(text).toContain('patch_embed.proj/MatMul = MatMul(');
  });
});

function tinyWeights(value: number): ReadonlyMap<string, Float32Array> {
  return new Map(
    parameters(tiny(1).graph).map(({ name, type }) => [
      name,
      new Float32Array(type.shape.reduce((product, extent) => product * extent, 1)).fill(value),
    ]),
  );
}
