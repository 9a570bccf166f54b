/**
 * The files that the contestants read: dense and factored weights with our metadata, both as ONNX
 * too, and images of noise.
 */
import {
  buildModel,
  compile,
  loadWeights,
  modelConfig,
  parameters,
  parseMethod,
  prepare,
  Random,
  writeSafetensors,
  type Batch,
  type BoundMethod,
  type Executor,
  type ModelBuilder,
  type ModelConfig,
  type Ranks,
} from '@thimble/core';
import { native } from '@thimble/native';
import { encodeOnnx, onnxModel } from '@thimble/onnx';
import { closeSync, openSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileSource, type FileSource } from '../scale/file-source.js';
import { spectralWeights } from '../scale/spectrum.js';
import { readModel } from '../export/contestants.js';
import { BATCHES } from './protocol.js';

export const MODEL = 'vit-tiny-16';
/** Ranks by ε of each weight's own spectrum: needs no photos. */
export const METHOD = 'wsi=0.8,truncation=plain';
const SEED = 1;

export interface InferenceFiles {
  readonly config: ModelConfig;
  /** Safetensors, also with timm's names. */
  readonly dense: string;
  readonly factored: string;
  readonly denseOnnx: string;
  readonly factoredOnnx: string;
  readonly data: string;
}

/** @param weights a safetensors with timm's names; null: a pretrained model's spectrum */
export async function writeFiles(
  folder: string,
  weights: string | null,
  threads: number,
): Promise<InferenceFiles> {
  const config = modelConfig(MODEL);
  const path = (name: string) => join(folder, name);
  const model: ModelBuilder = (batch, mode) => buildModel(config, { batch, mode });
  const data = path('batch.safetensors');
  const batch = noise(config);
  await writeFile(data, batchFile(config, batch));
  const given = weights ?? path('spectral.safetensors');
  if (weights === null) await writeFile(given, writeSafetensors(spectralWeights(config)));
  const source = fileSource(given);
  try {
    const full = parseMethod('full');
    const dense = await executorOf(model, full, threads);
    loadWeights(dense, model(1, 'eval'), source, SEED);
    await writeRun(path('dense.safetensors'), { config, method: full, executor: dense });
    const { ranks, method, executor } = await factor(model, source, batch, threads);
    const factors = { method: METHOD, ranks };
    await writeRun(path('factored.safetensors'), { config, method, executor, factors });
  } finally {
    source.close();
  }
  for (const name of ['dense', 'factored']) {
    writeOnnx(path(`${name}.safetensors`), path(`${name}.onnx`));
  }
  return {
    ...{ config, data, dense: path('dense.safetensors'), factored: path('factored.safetensors') },
    ...{ denseOnnx: path('dense.onnx'), factoredOnnx: path('factored.onnx') },
  };
}

function executorOf(model: ModelBuilder, method: BoundMethod, threads: number): Promise<Executor> {
  return native.load(compile({ model, method, batch: 1 }), { threads });
}

async function factor(model: ModelBuilder, source: FileSource, batch: Batch, threads: number) {
  const prepared = await prepare({
    ...{ model, method: parseMethod(METHOD), source, kind: native, threads, seed: SEED },
    batch: batch.real,
    batches: (count) => repeated(batch, count),
  });
  const { method, ranks } = prepared;
  const executor = await executorOf(model, method, threads);
  await prepared.emitWeights(executor);
  return { method, ranks, executor };
}

interface Run {
  readonly config: ModelConfig;
  readonly method: BoundMethod;
  readonly executor: Executor;
  readonly factors?: { readonly method: string; readonly ranks: Ranks };
}

/** The weights that the executor holds; ends it. */
async function writeRun(path: string, { config, method, executor, factors }: Run): Promise<void> {
  const { graph } = method.forward(buildModel(config, { batch: 1 }));
  const tensors = [];
  for (const { name, type } of parameters(graph)) {
    const data = Float32Array.from(await executor.read(name));
    tensors.push({ name, dtype: 'F32' as const, shape: type.shape, data });
  }
  await executor.dispose();
  const metadata = new Map([
    ['model', MODEL],
    ['thimble.config', JSON.stringify(config)],
    ...(factors ? [['thimble.factors', JSON.stringify(factors)] as const] : []),
  ]);
  await writeFile(path, writeSafetensors(tensors, metadata));
}

function writeOnnx(from: string, to: string): void {
  const { config, method, source } = readModel(from);
  const file = encodeOnnx(
    onnxModel('onnx', {
      model: (batch) => method.forward(buildModel(config, { batch })),
      read: (name) => Float32Array.from(source.read(name)),
      ...{ name: MODEL, producerVersion: '0', metadata: new Map() },
    }),
  );
  const descriptor = openSync(to, 'w');
  for (const part of file.parts()) writeSync(descriptor, part);
  closeSync(descriptor);
}

function noise({ imageSize, classes }: ModelConfig): Batch {
  const images = BATCHES[1];
  const pixels = Random.of(SEED, 'images').fillNormal(
    new Float32Array(images * 3 * imageSize ** 2),
  );
  const labels = Int32Array.from({ length: images }, (_, index) => index % classes);
  return { images: pixels, labels, real: images };
}

function batchFile({ imageSize }: ModelConfig, { images, labels }: Batch): Uint8Array {
  const count = labels.length;
  return writeSafetensors([
    { name: 'images', dtype: 'F32', shape: [count, 3, imageSize, imageSize], data: images },
    { name: 'labels', dtype: 'I32', shape: [count], data: Int32Array.from(labels) },
  ]);
}

/** Endless: preparing takes what it needs. `count` is at most the batch. */
function* repeated({ images, labels, real }: Batch, count: number): Generator<Batch> {
  const part = images.subarray(0, (images.length / real) * count);
  for (;;) yield { images: part, labels: labels.subarray(0, count), real: count };
}
