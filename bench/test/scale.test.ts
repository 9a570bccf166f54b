/** Ranks on their way from one model to another, what makes losses comparable, and the table at scale. */
import {
  buildModel,
  parseMethod,
  vit,
  writeSafetensors,
  type ModelBuilder,
  type VitConfig,
} from '@thimble/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Agreement } from '../scale/agreement.js';
import { BatchFile } from '../scale/batch-file.js';
import { chosenRows, SCALE_CASES, YARDSTICKS } from '../scale/cases.js';
import { contestantOf } from '../scale/contestants.js';
import { imposedRanks, inputRanks, weightRank } from '../scale/imposed.js';
import { joined } from '../scale/measure.js';
import { measuredModel, readRanks, type MeasuredRanks } from '../scale/ranks.js';
import { publishedShare } from '../scale/spectrum.js';
import { workloadModel } from '../scale/workload.js';

const RANKS = fileURLToPath(new URL('../scale/ranks.json', import.meta.url));

describe('the rank of a weight', () => {
  const small = { outputs: 768, inputs: 192 }; // factors as large as the weight at K = 153.6
  const large = { outputs: 3072, inputs: 768 };

  it('is the mean share of the models, to a multiple of 8', () => {
    expect(weightRank(large, small, [48, 64])).toBe(224); // (1/4 + 1/3) / 2 of 768
    expect(weightRank(large, small, [49, 49])).toBe(200); // 196, in the middle: upwards
    expect(weightRank(large, small, [1, 1])).toBe(8);
  });

  it('counts a dense weight with the rank at which factors are as large, and stays dense there', () => {
    expect(weightRank(large, small, [null, 38.4])).toBe(384); // (0.8 + 0.2) / 2 of 768
    expect(weightRank(large, small, [null, null])).toBeNull();
    expect(weightRank(large, small, [152, null])).toBe(608); // below 614.4
  });
});

describe('the ranks of an input', () => {
  it('are the mean shares of each mode, rounded up', () => {
    const found = [
      [12, 30, 48],
      [13, 32, 49],
    ];
    expect(inputRanks([128, 50, 768], [16, 50, 192], found)).toEqual([100, 31, 194]);
    expect(inputRanks([16, 50, 768], [16, 50, 192], found)).toEqual([13, 31, 194]);
  });
});

describe('imposed ranks', () => {
  const shape: VitConfig = {
    family: 'vit',
    ...{ imageSize: 8, patch: 2, channels: 3, width: 64, depth: 2, heads: 2, mlpRatio: 4 },
    ...{ classes: 5, pooling: 'token', classToken: true, layerNormEps: 1e-6 },
  };
  const build =
    (config: VitConfig): ModelBuilder =>
    (batch, mode) =>
      vit(config, { batch, mode });
  const ranks = (tucker: readonly number[]): MeasuredRanks => {
    const kinds = ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'];
    const own = [0, 1].flatMap((block) => kinds.map((kind) => `blocks.${block}.${kind}.weight`));
    const linear = { data: 16, plain: 8, tucker };
    const found = Object.fromEntries(own.map((weight) => [weight, linear]));
    return { photos: 'a', imageSize: 8, images: 16, models: { a: { '0.8': found } } };
  };
  const impose = (method: string, tucker: readonly number[]) => {
    const { probe } = parseMethod(method);
    if (!probe) throw new Error('a probe');
    const model = build({ ...shape, width: 128 });
    const from = { measured: build(shape), ranks: ranks(tucker), images: 16 };
    return imposedRanks(probe, { model, ...from });
  };

  it('are by the truncation that the method asks for', () => {
    expect(impose('wsi', [1, 1, 1]).weights['blocks.0.mlp.fc1.weight']).toBe(32);
    const plain = impose('wsi=0.8,truncation=plain,layers=mlp', [1, 1, 1]);
    expect(plain.weights['blocks.0.mlp.fc1.weight']).toBe(16);
    expect(plain.weights['blocks.0.attn.qkv.weight']).toBeUndefined();
    expect(plain.activations).toEqual({});
  });

  it('of weights are the published ones where those are asked for', () => {
    const { probe } = parseMethod('wasi');
    if (!probe) throw new Error('a probe');
    const from = { measured: build(shape), ranks: ranks([1, 1, 1]), images: 16, isPublished: true };
    const { weights, activations } = imposedRanks(probe, {
      model: build({ ...shape, width: 768 }),
      ...from,
    });
    expect(weights['blocks.0.mlp.fc1.weight']).toBe(248); // 245, to a multiple of 8
    expect(activations['blocks.0.mlp.fc1.weight']).toEqual([1, 1, 12]);
  });

  it('leave out the inputs that save no work', () => {
    expect(impose('wasi', [1, 1, 1]).activations['blocks.0.mlp.fc1.weight']).toEqual([1, 1, 2]);
    expect(impose('wasi', [16, 17, 60]).activations).toEqual({});
  });

  it('at an explained variance that was not measured are an error', () => {
    expect(() => impose('wsi=0.75', [1, 1, 1])).toThrow('expected ranks at ε = 0.75, got 0.8');
  });

  it('are there for every linear of ViT-B/32 and every method of the table', () => {
    const model: ModelBuilder = (batch, mode) =>
      buildModel(workloadModel('vit-base-32', 5), { batch, mode });
    const measured: ModelBuilder = (batch, mode) => buildModel(measuredModel(5), { batch, mode });
    const methods = SCALE_CASES.flatMap(({ groups }) => groups.flat()).flatMap((row) =>
      'config' in row ? [row.config.method] : [],
    );
    for (const method of new Set(methods)) {
      const { probe } = parseMethod(method);
      if (!probe) continue;
      const found = imposedRanks(probe, { model, measured, ranks: readRanks(RANKS), images: 16 });
      expect(Object.keys(found.weights).length, method).toBeGreaterThan(8);
    }
  });
});

describe('the agreement of losses', () => {
  const dense = { name: 'PyTorch', start: 'dense', isRounded: false, isExact: true };

  it('is that of everybody with whoever came first from the same start', () => {
    const agreement = new Agreement();
    agreement.check(dense, [2, 1]);
    agreement.check({ ...dense, name: 'full' }, [2.0001, 1]);
    agreement.check({ ...dense, name: 'bf16', isRounded: true, isExact: false }, [2.03, 1.5]);
    agreement.check({ ...dense, name: 'smallest', isExact: false }, [2, 1.1]);
    agreement.check({ ...dense, name: 'wsi', start: 'factors' }, [7]);
    const full = { ...dense, name: 'full' };
    expect(() => {
      agreement.check(full, [2.001, 1]);
    }).toThrow('full: expected the loss of PyTorch at step 1, 2, got 2.001');
    expect(() => {
      agreement.check(full, [2, 1.001]);
    }).toThrow('at step 2');
    expect(() => {
      agreement.check(full, [NaN]);
    }).toThrow('expected finite losses');
  });

  it('has PyTorch first in every group, and its bf16 not as what others are compared with', async () => {
    for (const { groups } of SCALE_CASES) {
      for (const [first] of groups) expect(first.name).toBe(YARDSTICKS.pytorch);
    }
    const workload = {
      model: 'vit-base-32',
      classes: 5,
      weights: 'w',
      data: 'd',
      photos: 'p',
    } as const;
    const setting = { workload, batch: 16, threads: 1 };
    const checked = async (name: string) => {
      const row = SCALE_CASES[0].groups.flat().find((each) => each.name === name);
      const contestant = row ? await contestantOf(row, setting) : 'none';
      return typeof contestant === 'string' ? contestant : contestant.checked;
    };
    const lora = await checked('lora, exact');
    expect(lora).toMatchObject({ start: 'dense weights', isExact: false });
    expect(await checked('full, exact')).toMatchObject({ start: 'dense weights', isExact: true });
    const [wsi, wasi] = [await checked('wsi, exact'), await checked('wasi, smallest')];
    expect(wsi).toMatchObject({ isExact: false });
    expect([wsi, wasi].map((each) => typeof each !== 'string' && each.start)).toEqual([
      expect.stringContaining('0.8'),
      typeof wsi === 'string' ? '' : wsi.start,
    ]);
  });
});

describe('the cases', () => {
  it('have no name twice in a group, and every yardstick in each', () => {
    for (const { groups } of SCALE_CASES) {
      for (const group of groups) {
        const names = group.map(({ name }) => name);
        expect(new Set(names).size).toBe(names.length);
        expect(names).toEqual(expect.arrayContaining(Object.values(YARDSTICKS)));
      }
    }
  });

  it('run without groups of which no row is chosen', () => {
    const { groups } = chosenRows(SCALE_CASES[1], /^lora, exact$/u);
    expect(groups.map((rows) => rows.map(({ name }) => name))).toEqual([['lora, exact']]);
  });
});

describe('the groups of a case', () => {
  const one = (name: string, megabytes: number, ready = {}) => ({
    ...{ name, isPeer: false, ready, losses: [1], rssPeakBytes: 1e6 * megabytes },
  });
  const samples = (all: Readonly<Record<string, readonly number[]>>) =>
    new Map(Object.entries(all).map(([name, ms]) => [name, ms.map((each) => [each])]));
  const rows = joined(
    [
      {
        live: [one('PyTorch', 500), one('full, exact', 300)],
        ...{ samples: samples({ PyTorch: [400, 600], 'full, exact': [200, 200] }), rounds: 2 },
      },
      {
        live: [one('PyTorch', 520), one('wasi, exact', 100, { rankShare: 0.5 })],
        ...{ samples: samples({ PyTorch: [90, 100], 'wasi, exact': [30, 25] }), rounds: 2 },
      },
    ],
    250e6,
  );

  it('are one table, with ratios within the rounds that both took part in', () => {
    expect(rows.map(({ name }) => name)).toEqual(['PyTorch', 'full, exact', 'wasi, exact']);
    expect(rows.map(({ faster }) => faster.pytorch?.median)).toEqual([1, 2.5, 3.5]);
    expect(rows[0].ms).toMatchObject({ count: 4, median: 250 });
    expect(rows.map(({ faster }) => faster.bf16)).toEqual([null, null, null]);
  });

  it('keep the largest peak, and that of preparing where there are ranks to find', () => {
    expect(rows.map(({ rssPeakBytes }) => rssPeakBytes)).toEqual([520e6, 300e6, 250e6]);
  });
});

describe('the file of a batch', () => {
  it('gives each micro-batch its own images', () => {
    const folder = mkdtempSync(join(tmpdir(), 'thimble-test-'));
    try {
      const path = join(folder, 'batch.safetensors');
      const images = Int8Array.from({ length: 4 * 12 }, (_, at) => at - 20);
      const labels = Int32Array.of(3, 1, 4, 1);
      writeFileSync(
        path,
        writeSafetensors([
          { name: 'levels', dtype: 'I8', shape: [4, 3, 2, 2], data: images },
          { name: 'labels', dtype: 'I32', shape: [4], data: labels },
        ]),
      );
      const file = new BatchFile(path);
      expect(file.images).toBe(4);
      const batch = file.batch(2, 2);
      expect(batch.images).toEqual(images.slice(24));
      expect(batch.labels).toEqual(labels.slice(2));
      expect(batch.real).toBe(2);
      expect(() => file.batch(3, 2)).toThrow();
      file.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the published spectrum', () => {
  it('gives the published ranks', () => {
    expect(Math.round(768 * publishedShare(0.8))).toBe(245);
    expect(Math.round(768 * publishedShare(0.4))).toBe(61);
  });
});
