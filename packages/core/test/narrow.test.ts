/**
 * The pass narrow: graphs before and after in text, where it stops, the same numbers in float64, and
 * what it saves of a ViT-Ti's step.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compile } from '../src/compile.js';
import type { Graph, ModelGraph, TrainGraph, ValueId } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { elements, f32 } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { parseMethod } from '../src/methods/index.js';
import type { BoundMethod } from '../src/methods/method.js';
import { buildModel, modelConfig } from '../src/models/index.js';
import { swin } from '../src/models/swin/model.js';
import { denseGradients } from './gradients.js';
import { applyUpdates } from '../src/optim/apply.js';
import { sgd } from '../src/optim/sgd.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { OPS } from '../src/ops/index.js';
import { dataFor, type Data } from '../src/ops/op.js';
import { sliceTokens } from '../src/ops/slice-tokens.js';
import { gelu } from '../src/ops/gelu.js';
import { add } from '../src/ops/add.js';
import { fold } from '../src/passes/fold.js';
import { fuse } from '../src/passes/fuse.js';
import { narrow } from '../src/passes/narrow.js';
import { prune } from '../src/passes/prune.js';
import { saveAs } from '../src/passes/saved.js';
import { plan } from '../src/plan/plan.js';
import { memoryReport } from '../src/plan/report.js';
import type { Program } from '../src/program.js';
import { Random } from '../src/random.js';
import { agree, CASES, dataOf, evaluate, runReference, typesOf } from './ops-evaluate.js';
import { fixedBatch, modelOf, SMALL, TINY } from './tiny-vit.js';

const NOTHING: ReadonlySet<string> = new Set();

describe('printed', () => {
  it('a ViT of one block: behind its attention it works on the class token', () => {
    const model = modelOf({ ...TINY, depth: 1 })(2);
    expect(block(model.graph)).toMatchInlineSnapshot(`
      "
      blocks.0.norm1: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: position.y, gamma: blocks.0.norm1.weight, beta: blocks.0.norm1.bias) {eps: 0.000001}
      blocks.0.attn.qkv: y f32[2,5,12] = matmul(a: blocks.0.norm1.y, b: blocks.0.attn.qkv.weight, bias: blocks.0.attn.qkv.bias) {transB: true}
      blocks.0.attn.mix: y f32[2,5,4], lse f32[2,2,5] = attention(qkv: blocks.0.attn.qkv.y) {heads: 2}
      blocks.0.attn.proj: y f32[2,5,4] = matmul(a: blocks.0.attn.mix.y, b: blocks.0.attn.proj.weight, bias: blocks.0.attn.proj.bias) {transB: true}
      blocks.0.residual1: y f32[2,5,4] = add(a: position.y, b: blocks.0.attn.proj.y)
      blocks.0.norm2: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: blocks.0.residual1.y, gamma: blocks.0.norm2.weight, beta: blocks.0.norm2.bias) {eps: 0.000001}
      blocks.0.mlp.fc1: y f32[2,5,8] = matmul(a: blocks.0.norm2.y, b: blocks.0.mlp.fc1.weight, bias: blocks.0.mlp.fc1.bias) {transB: true}
      blocks.0.mlp.act: y f32[2,5,8] = gelu(x: blocks.0.mlp.fc1.y)
      blocks.0.mlp.fc2: y f32[2,5,4] = matmul(a: blocks.0.mlp.act.y, b: blocks.0.mlp.fc2.weight, bias: blocks.0.mlp.fc2.bias) {transB: true}
      blocks.0.residual2: y f32[2,5,4] = add(a: blocks.0.residual1.y, b: blocks.0.mlp.fc2.y)
      pool: y f32[2,1,4] = slice_tokens(x: blocks.0.residual2.y) {start: 0, count: 1}
      reshape: y f32[2,4] = reshape(x: pool.y) {shape: 2,4}
      norm: y f32[2,4], mean f32[2], rstd f32[2] = layernorm(x: reshape.y, gamma: norm.weight, beta: norm.bias) {eps: 0.000001}"
    `);
    expect(block(narrowed(model).graph)).toMatchInlineSnapshot(`
      "
      blocks.0.residual1.tokens: y f32[2,1,4] = slice_tokens(x: position.y) {start: 0, count: 1}
      blocks.0.norm1: y f32[2,5,4], mean f32[2,5], rstd f32[2,5] = layernorm(x: position.y, gamma: blocks.0.norm1.weight, beta: blocks.0.norm1.bias) {eps: 0.000001}
      blocks.0.attn.qkv: y f32[2,5,12] = matmul(a: blocks.0.norm1.y, b: blocks.0.attn.qkv.weight, bias: blocks.0.attn.qkv.bias) {transB: true}
      blocks.0.attn.mix: y f32[2,5,4], lse f32[2,2,5] = attention(qkv: blocks.0.attn.qkv.y) {heads: 2}
      blocks.0.attn.proj.tokens: y f32[2,1,4] = slice_tokens(x: blocks.0.attn.mix.y) {start: 0, count: 1}
      blocks.0.attn.proj: y f32[2,1,4] = matmul(a: blocks.0.attn.proj.tokens.y, b: blocks.0.attn.proj.weight, bias: blocks.0.attn.proj.bias) {transB: true}
      blocks.0.residual1: y f32[2,1,4] = add(a: blocks.0.residual1.tokens.y, b: blocks.0.attn.proj.y)
      blocks.0.norm2: y f32[2,1,4], mean f32[2,1], rstd f32[2,1] = layernorm(x: blocks.0.residual1.y, gamma: blocks.0.norm2.weight, beta: blocks.0.norm2.bias) {eps: 0.000001}
      blocks.0.mlp.fc1: y f32[2,1,8] = matmul(a: blocks.0.norm2.y, b: blocks.0.mlp.fc1.weight, bias: blocks.0.mlp.fc1.bias) {transB: true}
      blocks.0.mlp.act: y f32[2,1,8] = gelu(x: blocks.0.mlp.fc1.y)
      blocks.0.mlp.fc2: y f32[2,1,4] = matmul(a: blocks.0.mlp.act.y, b: blocks.0.mlp.fc2.weight, bias: blocks.0.mlp.fc2.bias) {transB: true}
      blocks.0.residual2: y f32[2,1,4] = add(a: blocks.0.residual1.y, b: blocks.0.mlp.fc2.y)
      reshape: y f32[2,4] = reshape(x: blocks.0.residual2.y) {shape: 2,4}
      norm: y f32[2,4], mean f32[2], rstd f32[2] = layernorm(x: reshape.y, gamma: norm.weight, beta: norm.bias) {eps: 0.000001}"
    `);
  });

  it('a distilled model: two tokens', () => {
    const model = modelOf({ ...TINY, depth: 1, distilled: true })(2);
    expect(block(narrowed(model).graph).split('\n').slice(-9).join('\n')).toMatchInlineSnapshot(`
      "blocks.0.residual1: y f32[2,2,4] = add(a: blocks.0.residual1.tokens.y, b: blocks.0.attn.proj.y)
      blocks.0.norm2: y f32[2,2,4], mean f32[2,2], rstd f32[2,2] = layernorm(x: blocks.0.residual1.y, gamma: blocks.0.norm2.weight, beta: blocks.0.norm2.bias) {eps: 0.000001}
      blocks.0.mlp.fc1: y f32[2,2,8] = matmul(a: blocks.0.norm2.y, b: blocks.0.mlp.fc1.weight, bias: blocks.0.mlp.fc1.bias) {transB: true}
      blocks.0.mlp.act: y f32[2,2,8] = gelu(x: blocks.0.mlp.fc1.y)
      blocks.0.mlp.fc2: y f32[2,2,4] = matmul(a: blocks.0.mlp.act.y, b: blocks.0.mlp.fc2.weight, bias: blocks.0.mlp.fc2.bias) {transB: true}
      blocks.0.residual2: y f32[2,2,4] = add(a: blocks.0.residual1.y, b: blocks.0.mlp.fc2.y)
      norm: y f32[2,2,4], mean f32[2,2], rstd f32[2,2] = layernorm(x: blocks.0.residual2.y, gamma: norm.weight, beta: norm.bias) {eps: 0.000001}
      class_feature: y f32[2,1,4] = slice_tokens(x: norm.y) {start: 0, count: 1}
      reshape: y f32[2,4] = reshape(x: class_feature.y) {shape: 2,4}"
    `);
  });

  it('readers of several spans: what is made is the least span that holds them', () => {
    const before = chain((builder, x) => {
      const y = builder.emit(gelu, { x }, {}, 'y').y;
      const z = builder.emit(sliceTokens, { x: y }, { start: 2, count: 2 }, 'z').y;
      return { z, last: builder.emit(sliceTokens, { x: y }, { start: 3, count: 1 }, 'last').y };
    });
    expect(nodes(narrowed(before).graph)).toMatchInlineSnapshot(`
      "y.tokens: y f32[2,2,3] = slice_tokens(x: x) {start: 2, count: 2}
      y: y f32[2,2,3] = gelu(x: y.tokens.y)
      last: y f32[2,1,3] = slice_tokens(x: y.y) {start: 1, count: 1}
      "
    `);
  });
});

describe('stops', () => {
  it.each<readonly [string, ModelGraph]>([
    ['where another node reads all tokens', chain(readTwice)],
    ['where both operands of an addition would have to be sliced', chain(addTwo)],
    ['where more than half of the tokens are read', chain((builder, x) => halves(builder, x, 5))],
    ['at an output', chain(isOutput)],
    ['with mean pooling', modelOf({ ...SMALL, pooling: 'mean' })(2)],
    ['with mean pooling of patches alone', modelOf({ ...SMALL, ...PATCHES })(2)],
    ['in a Swin transformer, which has no class token', swinModel()],
  ])('%s', (_title, model) => {
    expect(narrow(model, NOTHING)).toBe(model);
  });

  it('at half of the tokens it does not', () => {
    const model = chain((builder, x) => halves(builder, x, 4));
    expect(nodes(narrowed(model).graph)).toBe(
      'y.tokens: y f32[2,4,3] = slice_tokens(x: x) {start: 0, count: 4}\n' +
        'y: y f32[2,4,3] = gelu(x: y.tokens.y)\n',
    );
  });

  it('at linears that have to see all tokens, with what only they need', () => {
    const model = modelOf(SMALL)(2);
    const block = 'blocks.2.';
    const held = (...names: readonly string[]) => {
      const weights = names.map((name) => `${block}${name}.weight`);
      const { narrowed: found } = narrow(model, new Set(weights));
      return [...(found ?? [])].map((name) => name.slice(block.length));
    };
    expect(held()).toEqual(['attn.proj.weight', 'mlp.fc1.weight', 'mlp.fc2.weight']);
    expect(held('attn.proj')).toEqual(['mlp.fc1.weight', 'mlp.fc2.weight']);
    expect(held('mlp.fc1')).toEqual(['mlp.fc2.weight']);
    expect(held('mlp.fc2')).toEqual([]);
  });
});

describe('rowwise operands', () => {
  const cases = CASES.filter(({ op, sample }) => op.rowwise?.(typesOf(sample), sample.params)[0]);

  it('are declared by the ops of a block', () => {
    const ofTransformers = ['add', 'gelu', 'layernorm', 'matmul', 'scale'];
    const ofConvolutions = [
      ...['batch_norm', 'clamp', 'concat_channels', 'hard_sigmoid', 'hard_swish', 'sigmoid'],
      ...['silu', 'slice_channels'],
    ];
    const all = [...ofTransformers, ...ofConvolutions].sort();
    expect([...new Set(cases.map(({ op }) => op.name))]).toEqual(all);
  });

  it.each(cases)('decide their rows only: $title', ({ op, sample }) => {
    const types = typesOf(sample);
    const rows = op.rowwise?.(types, sample.params) ?? [];
    const { shape } = types[rows[0]];
    const count = elements(shape.slice(0, -1));
    const before = dataOf(op, sample);
    const want = runReference(op, before, types, sample.params);
    for (const row of new Set([0, count >> 1, count - 1])) {
      const inputs = { ...before };
      for (const key of rows) inputs[key] = changed(before[key], row, count);
      const got = runReference(op, inputs, types, sample.params);
      for (const key of Object.keys(want)) {
        const width = want[key].length / count;
        const differs = want[key].findIndex((x, i) => x !== got[key][i]);
        const others = want[key].map((x, i) => (Math.floor(i / width) === row ? got[key][i] : x));
        expect(got[key]).toEqual(others);
        if (differs >= 0) expect(Math.floor(differs / width)).toBe(row);
      }
    }
  });
});

/** Float64 throughout; what differs is the order of sums over tokens whose gradient is zero. */
describe('leaves loss, gradients and updates as they are', () => {
  const fc1 = { weights: {}, activations: { 'blocks.2.mlp.fc1.weight': [2, 3, 4] } };
  it.each<readonly [string, BoundMethod, typeof SMALL]>([
    ['full', parseMethod('full'), SMALL],
    ['full, two tokens', parseMethod('full'), { ...SMALL, distilled: true }],
    ['full, one classifier', parseMethod('full'), { ...SMALL, ...ONE_HEAD }],
    ['last-k', parseMethod('last-k=1'), SMALL],
    ['head', parseMethod('head'), SMALL],
    ['bias-only', parseMethod('bias-only'), SMALL],
    ['lora', parseMethod('lora=2'), SMALL],
    ['wsi', parseMethod('wsi=0.8'), SMALL],
    ['asi', parseMethod('asi=0.6'), SMALL],
    ['asi of fc1 alone', parseMethod('asi').with({ ranks: fc1 }), SMALL],
    ['hosvd', parseMethod('hosvd=0.6,layers=mlp'), SMALL],
    ['wasi', parseMethod('wasi=0.7'), SMALL],
    ['adapters and asi', parseMethod('asi=0.6,layers=mlp+lora=2'), SMALL],
  ])('%s', (_title, method, config) => {
    const model = method.forward(modelOf(config)(3));
    const whole = new Set(method.holds(model));
    const want = results(updated(model, method), config);
    const got = results(updated(narrowed(model, whole), method), config);
    expect([...got.keys()]).toEqual([...want.keys()]);
    expect(want.size).toBeGreaterThan(2);
    for (const [name, data] of want) {
      expect(agree(got.get(name) ?? data.subarray(1), data, 1e-12, 1e-12), name).toBe(true);
    }
  });
});

describe('ViT-Ti/16, 224 px, batch 8, full training', () => {
  const [B, N, D, R] = [8, 197, 192, 4];
  const config = { ...modelConfig('vit-tiny-16'), classes: 10 };
  const model = (batch: number) => buildModel(config, { batch });
  const options = { model, optimizer: sgd(), batch: B, evalBatch: 0 };

  it('saves operations and bytes of the last block', () => {
    const before = memoryReport(unnarrowed(model(B)), 1);
    const after = memoryReport(compile(options), 1);
    const saved = 4 * B * (N - 1) * (2 + R) * D;
    expect(before.savedBytes - after.savedBytes).toBe(saved);
    // Of proj, fc1 and fc2 three products each: y, dx and dW.
    const products = 2 * 3 * B * (N - 1) * D * D * (1 + 2 * R);
    const flops = before.flopsPerStep - after.flopsPerStep;
    expect(flops).toBeGreaterThan(products);
    expect(flops).toBeLessThan(1.03 * products);
    expect([before, after].map((report) => report.flopsPerStep)).toMatchInlineSnapshot(`
      [
        62419566194,
        59224157810,
      ]
    `);
    expect([before, after].map((report) => report.peakBytes)).toMatchInlineSnapshot(`
      [
        179560256,
        170504000,
      ]
    `);
  });
});

const PATCHES = { pooling: 'mean', classToken: false } as const;
const ONE_HEAD = { distilled: true, distilledHead: false } as const;

type Build = (builder: GraphBuilder, x: ReturnType<GraphBuilder['input']>) => Outputs;
type Outputs = Parameters<GraphBuilder['build']>[0];

/** A graph on x [2, 8, 3], as a model without blocks. */
function chain(build: Build): ModelGraph {
  const builder = new GraphBuilder();
  const outputs = build(builder, builder.input('x', f32(2, 8, 3)));
  return { graph: builder.build(outputs), blocks: [], tail: [], head: 'head.' };
}

function halves(builder: GraphBuilder, x: Parameters<Build>[1], count: number): Outputs {
  const y = builder.emit(gelu, { x }, {}, 'y').y;
  return { z: builder.emit(sliceTokens, { x: y }, { start: 0, count }, 'z').y };
}

function readTwice(builder: GraphBuilder, x: Parameters<Build>[1]): Outputs {
  const y = builder.emit(gelu, { x }, {}, 'y').y;
  const z = builder.emit(sliceTokens, { x: y }, { start: 0, count: 1 }, 'z').y;
  return { z, all: builder.emit(gelu, { x: y }, {}, 'all').y };
}

function isOutput(builder: GraphBuilder, x: Parameters<Build>[1]): Outputs {
  const y = builder.emit(gelu, { x }, {}, 'y').y;
  return { y, z: builder.emit(sliceTokens, { x: y }, { start: 0, count: 1 }, 'z').y };
}

function addTwo(builder: GraphBuilder, x: Parameters<Build>[1]): Outputs {
  const other = builder.input('other', x.type);
  const y = builder.emit(add, { a: x, b: other }, {}, 'y').y;
  return { z: builder.emit(sliceTokens, { x: y }, { start: 0, count: 1 }, 'z').y };
}

function swinModel(): ModelGraph {
  const config = { imageSize: 16, patch: 2, channels: 1, width: 8, mlpRatio: 2, classes: 3 };
  const shape = { depths: [2], heads: [2], window: 4, layerNormEps: 1e-5 };
  return swin({ family: 'swin', ...config, ...shape }, { batch: 2 });
}

/** The model after the pass; both graphs must be legal. */
function narrowed(model: ModelGraph, whole = NOTHING): ModelGraph {
  verify(model.graph, OPS);
  const result = narrow(model, whole);
  verify(result.graph, OPS);
  return result;
}

/** The lines of nodes. */
function nodes(graph: Graph): string {
  return printGraph(graph)
    .split('\n')
    .filter((line) => line.includes(' = ') && !line.startsWith('output'))
    .map((line) => `${line}\n`)
    .join('');
}

/** The lines from the block's first to the pooled features. */
function block(graph: Graph): string {
  const lines = nodes(graph).split('\n');
  const first = lines.findIndex((line) => line.startsWith('blocks.'));
  return (
    '\n' +
    lines
      .slice(
        first,
        lines.findIndex((line) => line.startsWith('head')),
      )
      .join('\n')
  );
}

function changed(data: Data, row: number, rows: number): Data {
  const width = data.length / rows;
  const copy = data.slice();
  for (let i = row * width; i < (row + 1) * width; i++) copy[i] = -2 * copy[i] + 1;
  return copy;
}

function updated(model: ModelGraph, method: BoundMethod): TrainGraph {
  const train = method.backward(differentiate(model.graph, 'loss'), model);
  return {
    ...train,
    graph: applyUpdates(train, { optimizer: sgd({ momentum: 0.9 }), clipNorm: null }),
  };
}

/** The outputs, every gradient and what every update gives, by name. */
function results({ graph, gradients }: TrainGraph, config: typeof SMALL): Map<string, Data> {
  const found = evaluate(graph, leavesOf(graph, config));
  const named = new Map<string, Data>();
  const keep = (name: string, id: ValueId) => {
    const data = found.get(id);
    if (data) named.set(name, data);
  };
  for (const [name, id] of Object.entries(graph.outputs)) keep(name, id);
  for (const [name, id] of denseGradients({ gradients })) keep(`gradient of ${name}`, id);
  for (const { name, outputs } of graph.nodes) {
    if (!name.startsWith('update.')) continue;
    for (const [key, id] of Object.entries(outputs)) keep(`${name}.${key}`, id);
  }
  return named;
}

/** Contents by the leaf's name, so that both graphs have the same. */
function leavesOf(graph: Graph, config: typeof SMALL): ReadonlyMap<ValueId, Data> {
  const { labels } = fixedBatch(config, 3);
  const leaves = new Map<ValueId, Data>();
  for (const { id, name, type, source } of graph.values) {
    if (source.kind === 'node' || source.kind === 'constant') continue;
    const data = dataFor(type);
    if (name === 'labels') data.set(labels);
    else if (data instanceof Float64Array) Random.of(5, name).fillNormal(data, 0.3, 0.1);
    leaves.set(id, data);
  }
  return leaves;
}

/** What `compile` makes of full training, without the pass. */
function unnarrowed(model: ModelGraph): Program {
  const train = saveAs('exact', differentiate(model.graph, 'loss'), model.blocks);
  const graph = prune(fuse(prune(fold(applyUpdates(train, { optimizer: sgd(), clipNorm: null })))));
  return plan([{ name: 'step', graph }]);
}
