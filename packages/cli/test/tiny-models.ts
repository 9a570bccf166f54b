/** A small random ViT as other libraries publish it: files in hub layout, whole or in shards. */
import {
  buildModel,
  foreignWeights,
  huggingFaceConfig,
  initialValues,
  parameters,
  preprocessorConfig,
  writeSafetensors,
  type Preprocess,
  type VitConfig,
} from '@thimble/core';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const TINY: VitConfig = {
  family: 'vit',
  imageSize: 16,
  patch: 4,
  channels: 3,
  width: 32,
  depth: 2,
  heads: 4,
  mlpRatio: 2,
  classes: 3,
  pooling: 'token',
  classToken: true,
  layerNormEps: 1e-12,
};

/** Unlike every default. */
export const PICTURES: Preprocess = {
  size: 16,
  cropPercentage: 1,
  resize: 'squash',
  filter: 'bilinear',
  mean: [0.4, 0.5, 0.6],
  std: [0.2, 0.3, 0.25],
};

export type Files = Readonly<Record<string, Buffer>>;

/** config.json, preprocessor_config.json, model.safetensors. @param labels as many as classes */
export function hubFiles(labels: readonly string[], changes: Partial<VitConfig> = {}): Files {
  const config = { ...TINY, classes: labels.length, ...changes };
  return {
    'config.json': json(huggingFaceConfig(config, labels)),
    'preprocessor_config.json': json(preprocessorConfig(config, PICTURES)),
    'model.safetensors': Buffer.from(writeSafetensors(tensors(config))),
  };
}

/** The same with the weights in two files and an index. */
export function shardedFiles(labels: readonly string[]): Files {
  const { 'model.safetensors': whole, ...rest } = hubFiles(labels);
  const all = tensors({ ...TINY, classes: labels.length });
  const half = Math.floor(all.length / 2);
  const parts = [all.slice(0, half), all.slice(half)].map((part, index) => ({
    part,
    name: `model-0000${String(index + 1)}-of-00002.safetensors`,
  }));
  const map = parts.flatMap(({ part, name }) => part.map((tensor) => [tensor.name, name] as const));
  const index = { metadata: { total_size: whole.byteLength }, weight_map: Object.fromEntries(map) };
  const shards = parts.map(
    ({ part, name }) => [name, Buffer.from(writeSafetensors(part))] as const,
  );
  return { ...rest, ...Object.fromEntries(shards), 'model.safetensors.index.json': json(index) };
}

export function without(files: Files, name: string): Files {
  return Object.fromEntries(Object.entries(files).filter(([file]) => file !== name));
}

export function writeFiles(folder: string, files: Readonly<Record<string, Buffer | string>>): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, data] of Object.entries(files)) writeFileSync(join(folder, name), data);
}

/** Random weights under the names of transformers; a head that is not zero. */
function tensors(config: VitConfig) {
  const all = parameters(buildModel(config, { batch: 1 }).graph);
  const shapes = new Map(all.map(({ name, type }) => [name, type.shape]));
  const normal = { kind: 'normal', std: 0.2 } as const;
  const read = (name: string) => {
    const parameter = all.find((one) => one.name === name);
    const initial = name.startsWith('head') ? normal : parameter?.source.initial;
    return initialValues(initial ?? normal, shapes.get(name) ?? [], 0, name);
  };
  const source = foreignWeights('hugging-face', config, { name: 'tiny', shapes, read });
  return [...source.shapes].map(([name, shape]) => ({
    ...{ name, shape, dtype: 'F32' as const },
    data: source.read(name),
  }));
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}
