/**
 * DeiT with its distillation token: two classifiers on two tokens, against timm's in float64
 * (reference/deit_fixture.py), and as one of Thimble's models: methods, preparing, another image size.
 */
import { describe, expect, it } from 'vitest';
import { differentiate } from '../src/autodiff.js';
import { compile } from '../src/compile.js';
import { wasmExecutor } from '../src/executors/wasm/index.js';
import { parameters } from '../src/ir/graph.js';
import { parseMethod } from '../src/methods/index.js';
import { prefixTokens, tokenCount, vit, type VitConfig } from '../src/models/vit/model.js';
import { sgd } from '../src/optim/sgd.js';
import { fold } from '../src/passes/fold.js';
import { fuse } from '../src/passes/fuse.js';
import { prune } from '../src/passes/prune.js';
import { plan } from '../src/plan/plan.js';
import { cutModel } from '../src/prepare/cut.js';
import { prepare } from '../src/prepare/prepare.js';
import { loadWeights, type WeightSource } from '../src/train/weights.js';
import { EXECUTORS } from './executors.js';
import { configOf, expectClose, fixture, FLOAT32, labels, values, writeWeights } from './golden.js';
import { BATCH, batches, filled, logitsOf, optionsFor, sourceOf, VIT } from './prepare-models.js';
import { denseGradients } from './gradients.js';

const FIXTURE = fixture('../../../reference/fixtures/deit-distilled.safetensors');
if (!FIXTURE) throw new Error('reference/fixtures/deit-distilled.safetensors is missing');
const FILE = FIXTURE;
const CONFIG: VitConfig = { ...configOf(FILE), distilled: true };
const DEIT: VitConfig = { ...VIT, distilled: true };
const deitModel = (batch: number) => vit(DEIT, { batch });

describe.each(EXECUTORS)('DeiT on $name', (kind) => {
  it('has the logits, loss and every gradient of timm', async () => {
    const model = vit(CONFIG, { batch: 3, smoothing: Number(FILE.metadata.get('smoothing')) });
    const { graph, gradients } = differentiate(model.graph, 'loss');
    const outputs = { ...graph.outputs };
    for (const [name, id] of denseGradients({ gradients })) outputs[`grad.${name}`] = id;
    const executor = await kind.load(
      plan([{ name: 'step', graph: prune(fuse(fold({ ...graph, outputs }))) }]),
      { threads: 1 },
    );
    writeWeights(executor, model, FILE);
    executor.write('step.images', values(FILE, 'input'));
    executor.write('step.labels', labels(FILE));
    await executor.run('step');
    const tolerance = kind.name === 'reference' ? { relative: 1e-9, absolute: 1e-12 } : FLOAT32;
    for (const name of ['logits', 'loss', ...[...gradients.keys()].map((key) => `grad.${key}`)]) {
      expectClose(await executor.read(`step.${name}`), values(FILE, name), tolerance, name);
    }
    expect(gradients.size).toBe(parameters(model.graph).length);
    await executor.dispose();
  });
});

describe('a model with a distillation token', () => {
  const trained = (method: string) =>
    parameters(parseMethod(method).forward(deitModel(1)).graph)
      .filter(({ source }) => source.trainable)
      .map(({ name }) => name);
  const heads = ['head.weight', 'head.bias', 'head_dist.weight', 'head_dist.bias'];

  it('has two tokens in front of its patches', () => {
    expect(prefixTokens(DEIT)).toBe(2);
    expect(tokenCount(DEIT)).toBe(9 + 2);
    expect(prefixTokens(VIT)).toBe(1);
  });

  it('decays neither token', () => {
    const kept = parameters(deitModel(1).graph).filter(({ source }) => !source.decay);
    expect(kept.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['cls_token', 'dist_token', 'pos_embed', 'head_dist.bias']),
    );
    expect(kept.map(({ name }) => name)).not.toContain('head_dist.weight');
  });

  it('trains both classifiers with methods head, bias-only and last-k', () => {
    expect(trained('head')).toEqual(heads);
    expect(trained('bias-only')).toEqual(expect.arrayContaining(heads));
    expect(trained('last-k=1')).toEqual(
      expect.arrayContaining([...heads, 'norm.weight', 'blocks.2.mlp.fc1.weight']),
    );
    expect(trained('last-k=1')).not.toContain('dist_token');
  });

  it('is cut so that both classifiers read the features', () => {
    const parts = cutModel(deitModel(2));
    expect(parts.map(({ name }) => name)).toEqual([
      'embedding',
      'blocks.0',
      'blocks.1',
      'blocks.2',
      'tail',
    ]);
    expect(parts[4].y.type.shape).toEqual([2, 2, 32]); // both tokens
    expect([...parts[0].parameters.keys()]).toContain('dist_token');
  });

  it('can be prepared, and is as it was at ε = 1', async () => {
    const options = optionsFor('wsi=1,layers=all', { kind: wasmExecutor }, deitModel);
    const executor = await filled(options, await prepare(options));
    const dense = await wasmExecutor.load(compile({ model: deitModel, batch: BATCH }));
    loadWeights(dense, deitModel(1), options.source, 1);
    const want = await logitsOf(dense, deitModel);
    expect([...(await logitsOf(executor, deitModel))]).toEqual([...want]);
    const factored = await prepare(optionsFor('wsi=0.6,layers=all', {}, deitModel));
    expect(Object.keys(factored.ranks.weights).length).toBeGreaterThan(4);
    await executor.dispose();
    await dense.dispose();
  });

  it('learns', async () => {
    const program = compile({ model: deitModel, batch: BATCH, optimizer: sgd() });
    const executor = await wasmExecutor.load(program);
    loadWeights(executor, deitModel(1), sourceOf(deitModel), 1);
    const [{ images, labels: wanted }] = batches(deitModel, 1);
    const losses: number[] = [];
    for (let step = 0; step < 20; step++) {
      executor.write('step.images', images);
      executor.write('step.labels', wanted);
      executor.write('step.lr', Float32Array.of(0.05));
      await executor.run('step');
      losses.push((await executor.read('step.loss'))[0]);
    }
    expect(losses[19]).toBeLessThan(losses[0] / 4);
    await executor.dispose();
  });

  it('keeps both rows in front of a position embedding of another size', async () => {
    const large = vit({ ...DEIT, imageSize: 24 }, { batch: 1 });
    const file = sourceOf((batch) => vit({ ...DEIT, imageSize: 24 }, { batch }));
    expect(file.shapes.get('pos_embed')).toEqual([1, 38, 32]);
    const executor = await wasmExecutor.load(compile({ model: deitModel, batch: 1 }));
    const report = loadWeights(executor, deitModel(1), file, 0);
    expect(report.resized).toEqual(['pos_embed']);
    expect(parameters(large.graph).length).toBe(report.loaded);
    const rows = await executor.read('pos_embed');
    expect(rows.slice(0, 64)).toEqual(file.read('pos_embed').slice(0, 64));
    await executor.dispose();
  });

  it('starts both classifiers fresh at another number of classes', async () => {
    const file = sourceOf(deitModel);
    const model = (batch: number) => vit({ ...DEIT, classes: 7 }, { batch });
    const executor = await wasmExecutor.load(compile({ model, batch: 1 }));
    expect(loadWeights(executor, model(1), file, 0).replaced).toEqual(heads);
    await executor.dispose();
  });

  it('does without the second classifier where it has none', () => {
    const one = vit({ ...DEIT, distilledHead: false }, { batch: 1 });
    const names = parameters(one.graph).map(({ name }) => name);
    expect(names).toContain('dist_token');
    expect(names).not.toContain('head_dist.weight');
    const source: WeightSource = sourceOf(() => one);
    expect(source.shapes.get('pos_embed')).toEqual([1, 11, 32]);
  });

  it.each([
    [{ pooling: 'mean' }, 'vit, pooling: expected token with a distillation token, got mean'],
    [{ distilled: false, distilledHead: true }, 'vit, distilledHead: expected false without'],
  ] as const)('refuses %o', (change, message) => {
    expect(() => vit({ ...DEIT, ...change }, { batch: 1 })).toThrow(message);
  });
});
