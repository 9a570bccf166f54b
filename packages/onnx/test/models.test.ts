/**
 * Whole models: the logits of each format in onnxruntime against our own executor, for batches that
 * the file was not made for.
 */
import { argmax } from '@thimble/core';
import { describe, expect, it } from 'vitest';
import { ONNX_FORMATS } from '../src/formats.js';
import { lower } from '../src/lower.js';
import { maxDifference, modelFile, modelOf, ourLogits, pixels, reader, runOnnx } from './models.js';
import { TEST_MODELS, weightsOf, type TestModel } from './models.js';

const BATCHES = [1, 2, 5];

function feed(model: TestModel, batch: number) {
  const { channels, imageSize } = model.config;
  const shape = [batch, channels, imageSize, imageSize];
  return { pixel_values: { data: pixels(model, batch), shape } };
}

/** Columns of the logits in rows. */
function rows(data: ArrayLike<number>, count: number): readonly (readonly number[])[] {
  const width = data.length / count;
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: width }, (__, column) => data[row * width + column]),
  );
}

describe.each(TEST_MODELS)('$title', (model) => {
  const graph = lower(modelOf(model), reader(weightsOf(model)));

  it('has the logits of our executor for every batch, within 1e-4', async () => {
    for (const batch of BATCHES) {
      const expected = await ourLogits(model, batch);
      const { data, shape } = await runOnnx(graph, feed(model, batch));
      expect(shape).toEqual([batch, model.config.classes]);
      expect(maxDifference(data, expected)).toBeLessThanOrEqual(1e-4);
    }
  });

  it('loads in float16 and in 8-bit integers, near in every logit', async () => {
    const expected = await ourLogits(model, 5);
    const spread = Math.max(...Array.from(expected, Math.abs));
    for (const [name, share] of [
      ['onnx-fp16', 0.01],
      ['onnx-int8', 0.06],
    ] as const) {
      const made = ONNX_FORMATS[name].transform(graph);
      const { data } = await runOnnx(made, feed(model, 5));
      expect(maxDifference(data, expected), name).toBeLessThanOrEqual(share * spread);
      expect(maxDifference(data, expected), name).toBeGreaterThan(0);
      expect(modelFile(made).byteLength, name).toBeLessThan(modelFile(graph).byteLength);
      if (name !== 'onnx-fp16') continue;
      expect(rows(data, 5).map((row) => argmax(Float32Array.from(row)))).toEqual(
        rows(expected, 5).map((row) => argmax(Float32Array.from(row))),
      );
    }
  });
});
