/**
 * The paper's counts against the numbers of its tables and figures, and the parts of a plan against
 * the plan.
 *
 * 2349 MB and 324 MB: WASI, arXiv 2510.09160, table 1 (ViT-B/32, batch 128, all linears). The other
 * published figures follow from the same formulas: ViT-B/32 MLPs 1125 + 216 MB, Swin-T MLPs 3491.25 +
 * 65.81 MB, 7.245e11 FLOP forward and twice that backward for ViT-B/32's MLPs.
 */
import { foundRanks } from '../src/methods/found.js';
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { parseMethod } from '../src/methods/index.js';
import { buildModel, modelConfig } from '../src/models/index.js';
import { adamw } from '../src/optim/adamw.js';
import { memoryReport, stepFlops } from '../src/plan/report.js';
import { entryFlops, entryNamed } from '../src/program.js';
import { breakdown } from '../src/report/breakdown.js';
import {
  paperCosts,
  paperLayers,
  paperReport,
  tuckerElements,
  type PaperLayer,
} from '../src/report/paper.js';

const MEBIBYTE = 2 ** 20;
const mebibytes = (elements: number) => (4 * elements) / MEBIBYTE;
const NONE = {};
const DENSE = { copies: 1, rank: null, adapter: null, tucker: null };

const vitBase = (layers: 'mlp' | 'all') =>
  paperLayers(buildModel(modelConfig('vit-base-32'), { batch: 128 }), layers, NONE);

/** Swin-T at 224 px: four stages of blocks with inputs [B, H, W, C] and [B, H, W, 4C]. */
function swinTiny(batch: number): readonly PaperLayer[] {
  const stages = [
    { depth: 2, side: 56, width: 96 },
    { depth: 2, side: 28, width: 192 },
    { depth: 6, side: 14, width: 384 },
    { depth: 2, side: 7, width: 768 },
  ];
  return stages.flatMap(({ depth, side, width }) =>
    Array.from({ length: depth }, () => [width, 4 * width]).flatMap((sides) =>
      sides.map((inputs, index) => ({
        ...DENSE,
        weight: `fc${String(index + 1)}`,
        outputs: sides[1 - index],
        input: [batch, side, side, inputs],
      })),
    ),
  );
}

describe('memory', () => {
  it.each([
    ['ViT-B/32, MLPs', vitBase('mlp'), 1125, 216],
    ['ViT-B/32, all linears', vitBase('all'), 2025, 324],
    ['Swin-T, MLPs', swinTiny(128), 3491.25, 65.8125],
  ])('%s at batch 128', (_, layers, inputs, weights) => {
    const { dense, factored } = paperReport(layers, 'whole');
    expect(mebibytes(dense.inputElements)).toBe(inputs);
    expect(mebibytes(dense.weightElements)).toBe(weights);
    expect(factored).toEqual(dense);
  });

  it('of core and factors is Πr + Σ D r', () => {
    expect(tuckerElements([8, 10, 12], [3, 4, 5])).toBe(60 + 24 + 40 + 60);
    expect(tuckerElements([2, 3, 4, 5], [1, 2, 3, 4])).toBe(24 + 2 + 6 + 12 + 20);
  });

  it('of factored MLPs gives the published ratios of inference', () => {
    // Weights of ViT-B/32's MLPs ÷ 10.1 at K = 61 and ÷ 1.76 at K = 350.
    for (const [rank, ratio] of [
      [61, 10.07],
      [350, 1.755],
    ]) {
      const { ratios } = paperReport(
        vitBase('mlp').map((layer) => ({ ...layer, rank })),
        'whole',
      );
      expect(ratios.inferenceMemory).toBeCloseTo(ratio, 2);
      expect(ratios.inferenceFlops).toBeCloseTo(ratio, 1);
    }
  });
});

describe('work', () => {
  it('of dense MLPs is the published one', () => {
    const { dense } = paperReport(vitBase('mlp'), 'whole');
    expect(dense.forwardFlops / 1e11).toBeCloseTo(7.245, 2);
    expect(dense.backwardFlops / 1e12).toBeCloseTo(1.449, 2);
    expect(dense.inferenceFlops).toBe(dense.forwardFlops);
  });

  /** B = 2, N = 3, I = 4, O = 5, K = 2, r = (1, 2, 3), written out. */
  const linear = { ...DENSE, weight: 'w', outputs: 5, input: [2, 3, 4] };

  it('of one dense linear', () => {
    expect(paperCosts(linear, 'whole')).toEqual({
      weightElements: 20,
      inputElements: 24,
      forwardFlops: 6 * 5 * 7,
      backwardFlops: 6 * 4 * 9 + 20 * 11,
      inferenceFlops: 6 * 5 * 7,
    });
  });

  it('of one linear with both factors', () => {
    const through = 6 * 2 * 7 + 6 * 5 * 3;
    const weight = 5 * 2 * 7 + 4 * 2 * 9 + 2 * 5 * 4;
    const modes =
      2 * 1 * 23 +
      12 * 1 * 3 +
      2 * 2 * 1 + // a = 2, b = 12, r = 1
      (3 * 2 * 15 + 8 * 2 * 5 + 2 * 3 * 4) + // a = 3, b = 8, r = 2
      (4 * 3 * 11 + 6 * 3 * 7 + 2 * 4 * 9); // a = 4, b = 6, r = 3
    expect(paperCosts({ ...linear, rank: 2, tucker: [1, 2, 3] }, 'whole')).toEqual({
      weightElements: 2 * 9,
      inputElements: 6 + 2 + 6 + 12,
      forwardFlops: through + weight + modes,
      backwardFlops: through + 2 * 3 * 5 + 6 * 3 + 3 * 4 * 3 + 4 * 5 * 3,
      inferenceFlops: through,
    });
  });

  it('of a new decomposition at every step is that of three SVDs', () => {
    const steps = paperCosts({ ...linear, tucker: [1, 2, 3] }, 'decompose');
    const svd = (most: number, least: number) => 4 * most * least ** 2 + 8 * least ** 3;
    expect(steps.forwardFlops).toBe(6 * 5 * 7 + svd(12, 2) + svd(8, 3) + svd(6, 4));
    expect(steps.inputElements).toBe(6 + 2 + 6 + 12);
  });

  it('of an adapter counts both of its sides beside the frozen weight', () => {
    expect(paperCosts({ ...linear, adapter: 1 }, 'whole')).toEqual({
      weightElements: 20 + 9,
      inputElements: 24,
      forwardFlops: 6 * 5 * 7 + (6 * 7 + 6 * 5),
      backwardFlops: 6 * 4 * 9 + (6 * 7 + 6 * 5) + 9 * 11,
      inferenceFlops: 6 * 5 * 7 + (6 * 7 + 6 * 5),
    });
  });
});

describe('breakdown', () => {
  const config = { ...modelConfig('vit-micro'), depth: 2, classes: 7 };
  const model = (batch: number) => buildModel(config, { batch });
  const options = { model, optimizer: adamw(), batch: 3, evalBatch: 0, saved: 'all' as const };

  it('adds up to the peak and finds the counted parts', () => {
    const program = compile(options);
    const parts = breakdown(program, paperLayers(model(3), 'mlp', NONE), 2);
    expect(Object.values<number>({ ...parts }).reduce((sum, bytes) => sum + bytes, 0)).toBe(
      memoryReport(program, 2).peakBytes,
    );
    const { dense } = paperReport(paperLayers(model(3), 'mlp', NONE), 'whole');
    expect(parts.weights).toBe(4 * dense.weightElements);
    const rows = 3 * 65;
    // The paper counts all tokens; the last block's MLP works on the three class tokens.
    expect(parts.inputs).toBe(4 * (dense.inputElements - (rows - 3) * (128 + 512)));
    expect(parts.gelu).toBe(4 * (rows + 3) * 512); // what fc1 gives, before GELU
    // qkv and log-sum-exp of each block.
    expect(parts.attention).toBe(4 * 2 * (rows * 3 * 128 + rows * 4));
  });

  it('counts the inputs of attention only when asked to', () => {
    const program = compile(options);
    const mlp = breakdown(program, paperLayers(model(3), 'mlp', NONE), 1);
    const all = breakdown(program, paperLayers(model(3), 'all', NONE), 1);
    // norm1 and the mixed heads, of the last block only those of the class tokens.
    expect(all.inputs - mlp.inputs).toBe(4 * (3 * 65 * 3 + 3) * 128);
    expect(all.weights - mlp.weights).toBe(4 * 2 * 4 * 128 * 128);
  });

  it('plans for core and factors what the paper counts', () => {
    const method = parseMethod('last-k=1+asi=0.7,layers=mlp');
    const program = compile({ ...options, method });
    const forwarded = method.forward(model(3));
    const { activations: ranks } = foundRanks(method.findings(forwarded));
    expect(Object.keys(ranks)).toEqual(['blocks.1.mlp.fc1.weight', 'blocks.1.mlp.fc2.weight']);
    const layers = paperLayers(forwarded, 'mlp', ranks);
    const { factored, dense } = paperReport(layers, 'whole');
    expect(layers).toHaveLength(2);
    expect(factored.inputElements).toBeLessThan(dense.inputElements / 2);
    expect(breakdown(program, layers, 1).inputs).toBe(4 * factored.inputElements);
    expect(memoryReport(program, 1).factorBytes).toBeGreaterThan(0);
  });

  it('counts the micro-batches of an update, and neither the start nor evaluation', () => {
    const program = compile({ ...options, microBatches: 4, evalBatch: 3 });
    const flops = (name: string) => entryFlops(program, entryNamed(program, name));
    expect(stepFlops(program)).toBe(4 * flops('micro') + flops('apply'));
    const [first] = program.entries;
    const started = { ...program, entries: [...program.entries, { ...first, name: 'start' }] };
    expect(stepFlops(started)).toBe(stepFlops(program));
    expect(memoryReport(started, 1).flopsPerStep).toBe(memoryReport(program, 1).flopsPerStep);
  });

  it('has nothing to count where only the classifier trains', () => {
    const method = parseMethod('head');
    const layers = paperLayers(method.forward(model(3)), 'all', NONE);
    expect(layers).toEqual([]);
  });
});
