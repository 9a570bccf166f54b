/** Exported files beside our own executor: what passes, what is refused, what is only shown. */
import {
  buildModel,
  defaultPreprocess,
  elements,
  NumericError,
  parameters,
  parseMethod,
  Random,
  TrainingError,
  wasmExecutor,
  type ModelConfig,
} from '@thimble/core';
import { encodeOnnx, onnxModel } from '@thimble/onnx';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Checker } from '../src/export/check.js';
import { graphOf, type ExportedModel } from '../src/export/model.js';
import { preparationOf } from '../src/export/preparation.js';
import { findRuntime, type Runtime } from '../src/export/runtime.js';

const CONFIG: ModelConfig = {
  family: 'vit',
  imageSize: 12,
  patch: 4,
  channels: 3,
  width: 24,
  depth: 1,
  heads: 3,
  mlpRatio: 2,
  classes: 4,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-6,
};

const method = parseMethod('full');
const shapes = new Map(
  parameters(buildModel(CONFIG, { batch: 1 }).graph).map(({ name, type }) => [name, type.shape]),
);
const weights = {
  name: 'random',
  shapes,
  read: (name: string) => {
    const values = new Float32Array(elements(shapes.get(name) ?? []));
    return Random.of(5, name).fillNormal(values, 0.3);
  },
};

const MODEL: ExportedModel = {
  name: 'tiny',
  config: CONFIG,
  method,
  weights,
  dense: weights,
  tensors: [...shapes].map(([name, shape]) => {
    return { name, shape, dtype: 'f32' as const, read: () => weights.read(name) };
  }),
  contents: weights.read,
  isFactored: false,
  labels: ['a', 'b', 'c', 'd'],
  preprocess: { ...defaultPreprocess, size: 12 },
  metadata: new Map(),
  original: { method, weights },
  close: () => undefined,
};

const pictures = await preparationOf(MODEL.preprocess, null);
const folder = mkdtempSync(join(tmpdir(), 'thimble-check-'));
const file = join(folder, 'model.onnx');
const options = { model: graphOf(MODEL), read: weights.read, name: 'tiny', producerVersion: '1' };
const { parts } = encodeOnnx(onnxModel('onnx', { ...options, metadata: new Map() }));
writeFileSync(file, Buffer.concat([...parts()].map((part) => Buffer.from(part))));

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function realRuntime(): Promise<Runtime> {
  const runtime = await findRuntime();
  if (typeof runtime === 'string') throw new Error(runtime);
  return runtime;
}

/** The runtime with every logit changed. */
function changed(runtime: Runtime, change: (logit: number) => number): Runtime {
  return {
    version: runtime.version,
    load: async (path, threads) => {
      const model = await runtime.load(path, threads);
      return {
        ...model,
        logits: async (images, count) => (await model.logits(images, count)).map(change),
      };
    },
  };
}

async function compared(change: (logit: number) => number, isExact: boolean) {
  const runtime = changed(await realRuntime(), change);
  const checker = await Checker.open(wasmExecutor, runtime, MODEL, pictures, 1);
  try {
    return await checker.compare('onnx', file, isExact);
  } finally {
    await checker.close();
  }
}

describe('Checker', () => {
  it('finds the same logits and classes', async () => {
    const agreement = await compared((logit) => logit, true);
    expect(agreement).toMatchObject({ agreeing: 8, images: 8 });
    expect(agreement.maxDifference).toBeLessThanOrEqual(1e-4);
    expect(agreement.maxLogit).toBeGreaterThan(0.1);
  });

  it('refuses a float32 file that differs, by however little', async () => {
    const refused = compared((logit) => logit + 0.01, true);
    await expect(refused).rejects.toThrow(TrainingError);
    await expect(compared((logit) => logit + 0.01, true)).rejects.toThrow(
      /^logits of onnx: expected those of wasm [\w-]+ within 0\.0001 of \d+\.\d\d, got a difference of 0\.01\d*\. Report this as a bug; the file was not kept\.$/,
    );
    await expect(compared(() => NaN, true)).rejects.toThrow('got a difference of NaN');
  });

  it.each([NaN, Infinity])('refuses any file with logits that are %s', async (value) => {
    await expect(compared(() => value, false)).rejects.toThrow(NumericError);
    await expect(compared(() => value, false)).rejects.toThrow(
      `logits of onnx: expected finite numbers, got a difference of ${String(value)} to those in float32.`,
    );
  });

  it('shows how much the others differ', async () => {
    const agreement = await compared((logit) => -logit, false);
    expect(agreement.maxDifference).toBeCloseTo(2 * agreement.maxLogit, 3);
    expect(agreement.agreeing).toBeLessThan(8);
  });

  it('times our executor and every file', async () => {
    const runtime = await realRuntime();
    const checker = await Checker.open(wasmExecutor, runtime, MODEL, pictures, 1);
    await checker.compare('onnx', file, true);
    const times = await checker.latencies();
    await checker.close();
    expect([...times.keys()]).toEqual(['', 'onnx']);
    for (const ms of times.values()) expect(ms).toBeGreaterThan(0);
  });
});
