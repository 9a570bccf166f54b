/**
 * What preparing a ViT-B/32 takes, planned by the executor that computes nothing: the largest program, and
 * the bytes that wait on the host, whatever the images of a micro-batch.
 */
import { describe, expect, it } from 'vitest';
import type { ExecutorKind } from '../src/executors/executor.js';
import { nullExecutor } from '../src/executors/null/index.js';
import { parameters } from '../src/ir/graph.js';
import { linears } from '../src/methods/linears.js';
import { parseMethod } from '../src/methods/index.js';
import { buildModel, modelConfig } from '../src/models/index.js';
import { calibrationBatches } from '../src/prepare/calibrate.js';
import { heldRowBytes, holdTriangle } from '../src/prepare/held.js';
import { preparationBytes } from '../src/prepare/needs.js';
import { prepare } from '../src/prepare/prepare.js';
import { sitedParts } from '../src/prepare/sites.js';
import { plannedBytes } from '../src/program.js';
import type { Batch } from '../src/train/batch.js';
import type { WeightSource } from '../src/train/weights.js';

const IMAGE = 3 * 224 * 224;
const model = (batch: number) => buildModel(modelConfig('vit-base-32'), { batch });

function* batches(images: number): Generator<Batch> {
  const batch = { images: new Float32Array(images * IMAGE), labels: new Int32Array(images) };
  for (;;) yield { ...batch, real: images };
}

/** All zeros. */
function source(): WeightSource {
  const shapes = new Map(parameters(model(1).graph).map(({ name, type }) => [name, type.shape]));
  const read = (name: string) =>
    new Float32Array((shapes.get(name) ?? []).reduce((all, extent) => all * extent, 1));
  return { name: 'zeros.safetensors', shapes, read };
}

/** MB of the largest program with each entry. */
async function largest(method: string, batch: number): Promise<Readonly<Record<string, number>>> {
  const result: Record<string, number> = {};
  const kind: ExecutorKind = {
    ...nullExecutor,
    load: (program, options) => {
      const [{ name }] = program.entries;
      const megabytes = Math.round(plannedBytes(program, 2) / 1e6);
      result[name] = Math.max(megabytes, result[name] ?? 0);
      return nullExecutor.load(program, options);
    },
  };
  await prepare({
    ...{ model, method: parseMethod(method), source: source(), batches, kind },
    ...{ threads: 2, batch, seed: 1 },
  });
  return result;
}

function expectAtMost(got: Readonly<Record<string, number>>, most: typeof got): void {
  expect(Object.keys(got)).toEqual(Object.keys(most));
  for (const [name, megabytes] of Object.entries(got)) {
    expect(megabytes, name).toBeLessThanOrEqual(most[name]);
    expect(megabytes, name).toBeGreaterThan(0);
  }
}

describe('preparing a ViT-B/32 takes', () => {
  it('programs that do not grow with the pass', { timeout: 300_000 }, async () => {
    const all = 'last-k=1+wasi=0.8,layers=all';
    const data = await largest(all, 16);
    expect(await largest(all, 128)).toEqual(data);
    expectAtMost(data, { run: 44, pass: 81, modes: 62, measure: 97, 'gram.0': 13 });
    const plain = await largest(`${all},truncation=plain`, 4);
    expectAtMost(plain, { run: 33, pass: 42, modes: 19, 'gram.0': 13 });
    expectAtMost(await largest('wsi=0.8,layers=all,truncation=plain', 128), { 'gram.0': 13 });
  });

  it('few bytes on the host', () => {
    const whole = model(16);
    const all = linears(whole, 'all');
    const parts = sitedParts(whole, all).map(({ part }) => part);
    // 50 tokens of 768 in 12 blocks, for 64 images.
    expect(calibrationBatches(parts, 1)).toBe(4);
    expect(12 * 64 * heldRowBytes(50 * 768, 768)).toBe(29_644_800);
    // Two triangles of each linear, all of which have a side of 768.
    const bytes = all.map(({ outputs, inputs }) => {
      const size = Math.min(outputs, inputs);
      return 2 * holdTriangle(new Float32Array(size * size), size).byteLength;
    });
    expect(bytes.reduce((sum, own) => sum + own)).toBe(48 * 2 * 768 * 769);
  });

  it('what is said before, by the programs that run', { timeout: 300_000 }, async () => {
    const needs = (text: string, batch: number) =>
      preparationBytes({ model, method: parseMethod(text), batch, threads: 2 }, source().shapes);
    const plain = 'wsi=0.8,layers=all,truncation=plain';
    const [weight, square] = [4 * 768 * 3072, 4 * 768 * 768];
    const ran = await largest(plain, 16);
    const { finding, left } = needs(plain, 16);
    expect(Math.round((finding - weight - 4 * square) / 1e6)).toBe(ran['gram.0']);
    expect(left).toBe(0);
    const all = 'last-k=1+wasi=0.8,layers=all';
    const data = needs(all, 16);
    expect(needs(all, 128)).toEqual(data);
    expect(data.left).toBe(4 * 2 * 768 * 769);
    expect(data.emitting).toBeGreaterThan(weight);
    // Beside the programs: gradients of eight batches, and what compressed linears see or the sums.
    const x = 4 * 16 * 50 * 768;
    const seen = x * (1 + 3 + (1 + 1) + (1 + 4) + (4 + 1));
    const { pass, measure } = await largest(all, 16);
    const most = Math.max(pass * 1e6 + 10 * x + seen, measure * 1e6 + 17 * x + 8 * square);
    const held = 128 * heldRowBytes(50 * 768, 768);
    expect(Math.abs(data.finding - (held + data.left + most))).toBeLessThan(1e6);
  });
});
