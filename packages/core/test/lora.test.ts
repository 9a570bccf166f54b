/** LoRA: the graph beside the frozen weight, its start, its options; factored weights merged into dense ones. */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import type { HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters, type ModelGraph } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { verify } from '../src/ir/verify.js';
import { parseMethod } from '../src/methods/index.js';
import { linears } from '../src/methods/linears.js';
import { mergedWeights } from '../src/methods/merge.js';
import { sumWithProduct } from '../src/methods/product.js';
import type { BoundMethod } from '../src/methods/method.js';
import { initialValues } from '../src/nn/initialise.js';
import { OPS } from '../src/ops/index.js';
import { matchWeights, type WeightSource } from '../src/train/weights.js';
import { fixedBatch, modelOf, randomWeights, SMALL, TINY } from './tiny-vit.js';

const FC1 = 'blocks.0.mlp.fc1.weight';

describe('the graph', () => {
  it('has an adapter beside a frozen product', () => {
    const model = parseMethod('lora=2,alpha=3').forward(modelOf(TINY)(2));
    verify(model.graph, OPS);
    const lines = printGraph(model.graph)
      .split('\n')
      .filter((line) => /^(parameter )?blocks\.0\.mlp/.test(line) && !line.includes('fc2'));
    expect(lines).toEqual([
      'parameter blocks.0.mlp.fc1.weight: f32[8,4] frozen',
      'parameter blocks.0.mlp.fc1.weight.left: f32[8,2] trainable',
      'parameter blocks.0.mlp.fc1.weight.right: f32[2,4] trainable',
      'parameter blocks.0.mlp.fc1.bias: f32[8] frozen',
      'blocks.0.mlp.fc1.adapter.down: y f32[2,5,2] = matmul(a: blocks.0.norm2.y, ' +
        'b: blocks.0.mlp.fc1.weight.right) {transB: true}',
      'blocks.0.mlp.fc1.adapter.scale: y f32[2,5,2] = ' +
        'scale(x: blocks.0.mlp.fc1.adapter.down.y) {factor: 1.5}',
      'blocks.0.mlp.fc1: y f32[2,5,8] = matmul(a: blocks.0.norm2.y, ' +
        'b: blocks.0.mlp.fc1.weight, bias: blocks.0.mlp.fc1.bias) {transB: true}',
      'blocks.0.mlp.fc1.adapter.up: y f32[2,5,8] = matmul(a: blocks.0.mlp.fc1.adapter.scale.y, ' +
        'b: blocks.0.mlp.fc1.weight.left, residual: blocks.0.mlp.fc1.y) {transB: true}',
      'blocks.0.mlp.act: y f32[2,5,8] = gelu(x: blocks.0.mlp.fc1.adapter.up.y)',
    ]);
    expect(linears(model, 'mlp')[0].form).toMatchObject({ kind: 'adapter', scale: 1.5 });
  });
});

describe('merging', () => {
  it.each(['wsi=0.8,layers=all', 'lora=2,layers=all,alpha=3', 'full'])(
    '%s gives a dense model of the same logits',
    async (text) => {
      const method = parseMethod(text);
      const factored = method.forward(modelOf(SMALL)(3));
      const weights = randomWeights(factored);
      const merged = mergedWeights(factored, (name) => weights.get(name) ?? new Float32Array());
      const dense = parameters(modelOf(SMALL)(3).graph);
      expect(merged.map(({ name, shape }) => [name, shape])).toEqual(
        dense.map(({ name, type }) => [name, type.shape]),
      );
      const want = await logits(method, factored, weights);
      const tensors = new Map(merged.map(({ name, read }) => [name, read()]));
      const got = await logits(parseMethod('full'), modelOf(SMALL)(3), tensors);
      // Merged weights are rounded to float32 once.
      want.forEach((x, index) => expect(Math.abs(got[index] - x)).toBeLessThan(1e-5));
    },
  );

  it.each(['wsi=0.6,layers=mlp', 'lora=2,layers=mlp'])(
    'refuses a product of %s that float32 cannot hold',
    (text) => {
      const method = parseMethod(text).with({ ranks: { weights: { [FC1]: 2 }, activations: {} } });
      const model = method.forward(modelOf(SMALL)(1));
      const weights = randomWeights(model);
      for (const side of ['left', 'right']) weights.get(`${FC1}.${side}`)?.fill(1e20, 0, 2);
      const merged = mergedWeights(model, (name) => weights.get(name) ?? new Float32Array());
      expect(() => merged.find(({ name }) => name === FC1)?.read()).toThrow(
        `weight ${FC1}: expected a product of ${FC1}.left and ${FC1}.right that float32 can hold, ` +
          'got Infinity at element 0. Its training diverged; use another checkpoint.',
      );
    },
  );

  it('starts as the dense model: B is zero', async () => {
    const method = parseMethod('lora=2,layers=all');
    const factored = method.forward(modelOf(SMALL)(3));
    const weights = new Map(randomWeights(factored));
    for (const { name, type, source } of parameters(factored.graph)) {
      if (source.factor) weights.set(name, initialValues(source.initial, type.shape, 1, name));
    }
    expect(await logits(method, factored, weights)).toEqual(
      await logits(parseMethod('full'), modelOf(SMALL)(3), weights),
    );
  });
});

it('adds a product to a base in float64, rounded once', () => {
  const left = Float32Array.of(1, 2, 3, 4, 5, 6); // [3, 2]
  const right = Float32Array.of(1, -1, 0.5, 2); // [2, 2]
  expect([...sumWithProduct(null, left, right, 2)]).toEqual([2, 3, 5, 5, 8, 7]);
  const base = Float32Array.of(1, 1, 1, 1, 1, 1);
  expect([...sumWithProduct(base, left, right, 2, 0.5)]).toEqual([2, 2.5, 3.5, 3.5, 5, 4.5]);
  // 1e8 + 1 − 1e8 is 1 in float64 only.
  const long = Float32Array.of(1, 1, 1);
  expect([...sumWithProduct(null, long, Float32Array.of(1e8, 1, -1e8), 3)]).toEqual([1]);
});

describe('loading', () => {
  const model = parseMethod('lora=2').forward(modelOf(SMALL)(1));
  const sourceOf = (
    tensors: ReadonlyMap<string, Float32Array>,
    from: ModelGraph,
  ): WeightSource => ({
    name: 'a file',
    shapes: new Map(
      parameters(from.graph)
        .filter(({ name }) => tensors.has(name))
        .map(({ name, type }) => [name, type.shape]),
    ),
    read: (name) => tensors.get(name) ?? new Float32Array(),
  });

  it('starts adapters that a dense checkpoint lacks, and says nothing of them', () => {
    const dense = modelOf(SMALL)(1);
    const { read, report } = matchWeights(model, sourceOf(randomWeights(dense), dense), 7);
    expect(read(`${FC1}.left`)).toEqual(new Float32Array(48 * 2));
    const initial = { kind: 'uniform', bound: 1 / Math.sqrt(12) } as const;
    expect(read(`${FC1}.right`)).toEqual(initialValues(initial, [2, 12], 7, `${FC1}.right`));
    expect(report).toMatchObject({ replaced: [], unused: [] });
  });

  it('takes adapters that were saved', () => {
    const saved = randomWeights(model);
    const { read } = matchWeights(model, sourceOf(saved, model), 7);
    expect(read(`${FC1}.left`)).toEqual(saved.get(`${FC1}.left`));
  });

  it('refuses half an adapter', () => {
    const saved = new Map(randomWeights(model));
    saved.delete(`${FC1}.left`);
    expect(() => matchWeights(model, sourceOf(saved, model), 7)).toThrow(`1 missing: ${FC1}.left`);
  });
});

describe('options', () => {
  it.each([
    ['lora', 'lora=8,layers=all,alpha=16'],
    ['lora=4,alpha=0.5,layers=mlp', 'lora=4,layers=mlp,alpha=0.5'],
  ])('%s means %s', (text, canonical) => {
    expect(parseMethod(text).text).toBe(canonical);
    expect(parseMethod(canonical).text).toBe(canonical);
  });

  it.each([
    ['lora=0', 'method lora: expected a rank above 0, got "0".'],
    ['lora=2.5', 'method lora: expected a rank above 0, got "2.5".'],
    ['lora=2,alpha=-1', 'method lora: expected an alpha above 0, got "-1".'],
  ])('refuses %s', (text, message) => {
    expect(() => parseMethod(text)).toThrow(ConfigError);
    expect(() => parseMethod(text)).toThrow(message);
  });

  it('refuses a rank above the smaller side', () => {
    expect(() => parseMethod('lora=13,layers=mlp').forward(modelOf(SMALL)(1))).toThrow(
      `method lora, weight ${FC1}: expected a rank of at most 12, the smaller side of the weight, got 13.`,
    );
  });
});

async function logits(
  method: BoundMethod,
  model: ModelGraph,
  weights: ReadonlyMap<string, HostData>,
): Promise<HostData> {
  const program = compile({ model: modelOf(SMALL), method, batch: 3 });
  const executor = await referenceExecutor.load(program);
  for (const { name } of parameters(model.graph)) {
    executor.write(name, weights.get(name) ?? new Float32Array());
  }
  executor.write('eval.images', fixedBatch(SMALL, 3).images);
  await executor.run('eval');
  const result = await executor.read('eval.logits');
  await executor.dispose();
  return result;
}
