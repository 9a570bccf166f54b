/**
 * Weights in low-rank form inside a model: the graph, the starting values, training against dense training at
 * full rank, memory, composition.
 */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { ConfigError } from '../src/errors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { parameters } from '../src/ir/graph.js';
import { printGraph } from '../src/ir/print.js';
import { elements } from '../src/ir/types.js';
import { verify } from '../src/ir/verify.js';
import { parseMethod } from '../src/methods/index.js';
import { isTrained, linears } from '../src/methods/linears.js';
import { factorWeights, typicalWeightRanks } from '../src/methods/low-rank.js';
import { NO_RANKS } from '../src/methods/ranks.js';
import { vit } from '../src/models/vit/model.js';
import { initialValues } from '../src/nn/initialise.js';
import { OPS } from '../src/ops/index.js';
import type { Optimizer } from '../src/optim/optimizer.js';
import { sgd } from '../src/optim/sgd.js';
import { memoryReport } from '../src/plan/report.js';
import { plannedBytes, type Program } from '../src/program.js';
import { matrix, product, skew } from './dense.js';
import { FAST_EXECUTORS } from './executors.js';
import { losses } from './low-rank-start.js';
import { modelOf, SMALL, TINY } from './tiny-vit.js';

const FC1 = 'blocks.0.mlp.fc1.weight';
const FC2 = 'blocks.0.mlp.fc2.weight';

describe('the graph', () => {
  it('has two products in place of one', () => {
    const model = factorWeights(modelOf(TINY)(2), { ...NO_RANKS, weights: { [FC1]: 3 } });
    verify(model.graph, OPS);
    const lines = printGraph(model.graph)
      .split('\n')
      .filter((line) => line.includes('blocks.0.mlp.fc1'));
    expect(lines).toEqual([
      'parameter blocks.0.mlp.fc1.weight.left: f32[8,3] trainable',
      'parameter blocks.0.mlp.fc1.weight.right: f32[3,4] trainable',
      'parameter blocks.0.mlp.fc1.bias: f32[8] trainable',
      'blocks.0.mlp.fc1.low: y f32[2,5,3] = matmul(a: blocks.0.norm2.y, ' +
        'b: blocks.0.mlp.fc1.weight.right) {transB: true}',
      'blocks.0.mlp.fc1: y f32[2,5,8] = matmul(a: blocks.0.mlp.fc1.low.y, ' +
        'b: blocks.0.mlp.fc1.weight.left, bias: blocks.0.mlp.fc1.bias) {transB: true}',
      'blocks.0.mlp.act: y f32[2,5,8] = gelu(x: blocks.0.mlp.fc1.y)',
    ]);
    expect(linears(model, 'mlp')[0]).toMatchObject({
      weight: FC1,
      outputs: 8,
      inputs: 4,
      form: { kind: 'low-rank', left: { name: `${FC1}.left` }, right: { name: `${FC1}.right` } },
    });
  });

  it('inherits what trains and what decays', () => {
    const model = parseMethod('last-k=1').forward(modelOf(TINY)(2));
    const factored = factorWeights(model, { ...NO_RANKS, weights: { [FC1]: 2 } });
    const sides = parameters(factored.graph).filter(({ source }) => source.factor);
    expect(sides.map(({ source }) => source)).toMatchObject([
      { trainable: false, decay: true, factor: { weight: FC1, side: 'left', form: 'low-rank' } },
      { trainable: false, decay: true, factor: { weight: FC1, side: 'right', form: 'low-rank' } },
    ]);
  });

  it.each([
    [
      { [FC1]: 5 },
      `rank of ${FC1}: expected a whole number from 1 to 4, the smaller side of [8, 4], got 5.`,
    ],
    [
      { [FC1]: 1.5 },
      `rank of ${FC1}: expected a whole number from 1 to 4, the smaller side of [8, 4], got 1.5.`,
    ],
    [
      { 'blocks.0.fc': 1 },
      'rank of blocks.0.fc: expected the weight of a linear in a block of this model, got no such linear.',
    ],
  ])('refuses the ranks %o', (weights, message) => {
    const build = () => factorWeights(modelOf(TINY)(2), { ...NO_RANKS, weights });
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(message);
  });
});

describe('starting from scratch', () => {
  it('has orthonormal columns, and outputs as wide as those of the dense weight', () => {
    const config = { ...SMALL, width: 96, depth: 1 };
    const dense = linears(vit(config, { batch: 1 }), 'mlp')[0];
    const model = parseMethod('wsi=0.9').forward(vit(config, { batch: 1 }));
    const sides = parameters(model.graph).filter(({ source }) => source.factor?.weight === FC1);
    const [left, right] = sides.map(({ name, type, source }) =>
      matrix(type.shape[0], type.shape[1], initialValues(source.initial, type.shape, 1, name)),
    );
    expect(skew(left)).toBeLessThan(1e-7);
    if (dense.form.kind !== 'dense') throw new Error('not dense');
    const { initial } = dense.form.weight.source;
    const w = matrix(4 * 96, 96, initialValues(initial, [4 * 96, 96], 1, FC1));
    const squares = (m: { readonly data: Float64Array }) =>
      m.data.reduce((sum, x) => sum + x * x, 0);
    // Some 16,000 draws: the sums differ by about a percent.
    expect(Math.abs(squares(product(left, right)) / squares(w) - 1)).toBeLessThan(0.03);
  });
});

describe('typical ranks', () => {
  it('follow the paper at its own ε and the interpolation between', () => {
    const model = vit({ ...SMALL, width: 768, heads: 12, depth: 1 }, { batch: 1 });
    const rankAt = (epsilon: number) => typicalWeightRanks(model, epsilon, 'mlp')[FC1];
    expect([0.4, 0.5, 0.6, 0.7, 0.8, 0.9].map(rankAt)).toEqual([61, 92, 135, 178, 245, 350]);
    expect(rankAt(0.45)).toBe(77);
    expect(rankAt(0.01)).toBe(2);
    // Break-even is at 0.8 · 768 = 614.
    expect(rankAt(0.96)).toBe(601);
    expect(rankAt(0.97)).toBeUndefined();
  });

  it('leave attention and frozen blocks out unless told otherwise', () => {
    const frozen = parseMethod('last-k=1').forward(modelOf(SMALL)(1));
    expect(Object.keys(typicalWeightRanks(frozen, 0.5, 'mlp'))).toEqual([
      'blocks.2.mlp.fc1.weight',
      'blocks.2.mlp.fc2.weight',
    ]);
    expect(Object.keys(typicalWeightRanks(frozen, 0.5, 'all'))).toHaveLength(4);
  });
});

/** Every linear of the MLPs at rank min(O, I). */
const FULL_RANKS = Object.fromEntries(
  linears(modelOf(SMALL)(1), 'mlp').map(({ weight, outputs, inputs }) => [
    weight,
    Math.min(outputs, inputs),
  ]),
);
const FORCED = parseMethod('wsi=1').with({ ranks: { ...NO_RANKS, weights: FULL_RANKS } });
const PLAIN = sgd({ weightDecay: 0.01 });

describe('full ranks', () => {
  it('train like dense weights in float64, clipped and in micro-batches too', async () => {
    for (const options of [{}, { clipNorm: 0.5 }, { microBatches: 2 }]) {
      const want = await losses(referenceExecutor, parseMethod('full'), 8, PLAIN, options);
      const got = await losses(referenceExecutor, FORCED, 8, PLAIN, options);
      got.forEach((loss, index) => expect(Math.abs(loss - want[index])).toBeLessThan(1e-9));
      expect(want[7]).toBeLessThan(want[0] - 0.1);
    }
  });

  it.each(FAST_EXECUTORS)('train like dense weights on $name', async (kind) => {
    const want = await losses(referenceExecutor, parseMethod('full'), 8, PLAIN);
    const got = await losses(kind, FORCED, 8, PLAIN);
    // Float32 steps of a network: FLOAT32 of golden.ts, with eight steps' worth of drift.
    got.forEach((loss, index) => expect(Math.abs(loss - want[index])).toBeLessThan(1e-4));
  });
});

describe.each(FAST_EXECUTORS)('wsi on $name', (kind) => {
  it('has the same bits on 1, 2 and 4 threads, and follows the reference', async () => {
    const method = parseMethod('wsi=0.8,layers=all');
    const optimizer = sgd({ momentum: 0.9 });
    const runs = [1, 2, 4].map((threads) => losses(kind, method, 4, optimizer, { threads }));
    const [one, two, four] = await Promise.all(runs);
    expect(two).toEqual(one);
    expect(four).toEqual(one);
    const want = await losses(referenceExecutor, method, 4, optimizer);
    one.forEach((loss, index) => expect(Math.abs(loss - want[index])).toBeLessThan(1e-4));
  });
});

describe('memory', () => {
  const model = (batch: number) => modelOf({ ...SMALL, width: 72, heads: 3, depth: 2 })(batch);
  const of = (text: string, optimizer: Optimizer, clipNorm?: number): Program =>
    compile({
      model,
      method: parseMethod(text),
      optimizer,
      batch: 2,
      evalBatch: 0,
      ...(clipNorm === undefined ? {} : { clipNorm }),
    });

  it('never holds an array of the size of a factored weight', () => {
    // O·I = 20736 of the MLPs; no activation of 2 · 10 tokens has as many elements.
    for (const clipNorm of [undefined, 1]) {
      const { slots } = of('wsi=0.8', sgd({ momentum: 0.9 }), clipNorm);
      for (const { name, type, role } of slots) {
        const size = elements(type.shape);
        if (role !== 'workspace') expect(size, name).toBeLessThan(72 * 4 * 72);
      }
    }
  });

  it('takes what factoring takes from weights and states, and less at the peak', () => {
    const optimizer = sgd({ momentum: 0.9 });
    const [full, wsi] = ['full', 'wsi=0.8,layers=mlp'].map((text) => of(text, optimizer));
    const rank = Math.round(0.319 * 72);
    const taken = 4 * 4 * (72 * 288 - rank * (72 + 288));
    const [a, b] = [full, wsi].map((program) => memoryReport(program, 1));
    expect(a.weightBytes - b.weightBytes).toBe(taken);
    expect(a.optimizerBytes - b.optimizerBytes).toBe(taken);
    expect(plannedBytes(full, 1) - plannedBytes(wsi, 1)).toBeGreaterThan(2 * taken);
  });

  it('updates each pair before the next block runs backward', () => {
    const { entries } = of('wsi=0.8', sgd());
    const names = entries[0].steps.map(({ name }) => name);
    const at = (start: string) => names.findIndex((name) => name.startsWith(start));
    const last = (start: string) => names.findLastIndex((name) => name.startsWith(start));
    expect(last('update.blocks.1.mlp.fc2.weight')).toBeLessThan(at('grad.blocks.1.norm2'));
    expect(last('update.blocks.1.mlp.fc1.weight')).toBeLessThan(at('grad.blocks.0.'));
  });
});

describe('composition', () => {
  const forms = (text: string, ...layers: ['mlp' | 'all']) =>
    linears(parseMethod(text).forward(modelOf(SMALL)(2)), ...layers)
      .filter(({ form }) => form.kind !== 'dense')
      .map((linear) => `${linear.weight} ${String(isTrained(linear))}`);

  it('factors only what trains', () => {
    const last = ['blocks.2.mlp.fc1.weight true', 'blocks.2.mlp.fc2.weight true'];
    expect(forms('last-k=1+wsi=0.8,layers=mlp', 'all')).toEqual(last);
    expect(forms('last-k=1+lora=2,layers=mlp', 'all')).toEqual(last);
    expect(forms('head+wsi=0.8', 'all')).toEqual([]);
    expect(forms('lora=2', 'all')).toHaveLength(12);
  });

  it.each(['last-k=1+wsi=0.8', 'last-k=2+lora=2'])('%s trains', async (text) => {
    const seen = await losses(referenceExecutor, parseMethod(text), 5, sgd());
    expect(seen[4]).toBeLessThan(seen[0]);
  });

  it('refuses two forms of one weight', () => {
    for (const text of ['wsi=0.8+lora=2', 'lora=2+wsi=0.8']) {
      const [first, second] = text.split('+').map((own) => parseMethod(own).text);
      const build = () => parseMethod(text).with({ ranks: { ...NO_RANKS, weights: { [FC1]: 2 } } });
      expect(() => build().forward(modelOf(SMALL)(2))).toThrow(
        `expected one method for the form of ${FC1}, got two, ${first} and ${second}. ` +
          'Leave one of them out.',
      );
    }
  });
});

describe('options', () => {
  it.each([
    ['wsi', 'wsi=0.8,layers=all,truncation=data'],
    ['wsi=0.9,truncation=plain', 'wsi=0.9,layers=all,truncation=plain'],
  ])('%s means %s', (text, canonical) => {
    expect(parseMethod(text).text).toBe(canonical);
    expect(parseMethod(canonical).text).toBe(canonical);
  });

  it.each([
    ['wsi=0', 'method wsi: expected an explained variance in (0, 1], got "0".'],
    [
      'wsi=0.8,truncation=svd',
      'method wsi: expected truncation=data or truncation=plain, got "svd".',
    ],
    ['wsi=0.8,layers=head', 'method wsi: expected layers=mlp or layers=all, got "head".'],
  ])('refuses %s', (text, message) => {
    expect(() => parseMethod(text)).toThrow(ConfigError);
    expect(() => parseMethod(text)).toThrow(message);
  });

  it('asks for the ranks of its weights and takes them', () => {
    const method = parseMethod('wsi=0.7,layers=all,truncation=plain');
    expect(method.probe).toEqual({
      kind: 'ranks',
      weights: { epsilon: 0.7, layers: 'all', truncation: 'plain' },
      activations: null,
    });
    const ready = method.with({ ranks: { ...NO_RANKS, weights: { [FC2]: 12 } } });
    expect(ready.text).toBe(method.text);
    const model = ready.forward(modelOf(SMALL)(1));
    const shapes = parameters(model.graph)
      .filter(({ source }) => source.factor)
      .map(({ name, type }) => [name, type.shape]);
    expect(shapes).toEqual([
      [`${FC2}.left`, [12, 12]],
      [`${FC2}.right`, [12, 48]],
    ]);
  });
});
