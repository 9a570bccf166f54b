/**
 * Tensors written by PyTorch in float64: reading a fixture and comparing with it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { Executor, HostData } from '../src/executors/executor.js';
import { readSafetensors, type SafetensorsFile } from '../src/formats/safetensors.js';
import { parameters, type ModelGraph } from '../src/ir/graph.js';
import type { SwinConfig } from '../src/models/swin/model.js';
import type { VitConfig } from '../src/models/vit/model.js';

/** A fixture of this repository, or of the folder `shared` beside it; null when it is absent. */
export function fixture(path: string): SafetensorsFile | null {
  const url = new URL(path, import.meta.url);
  return existsSync(url) ? readSafetensors(new Uint8Array(readFileSync(url))) : null;
}

export function values(file: SafetensorsFile, name: string): Float64Array {
  const tensor = file.tensors.get(name);
  if (!tensor) throw new Error(`the fixture has no tensor ${name}`);
  return tensor.toFloat64();
}

export function labels(file: SafetensorsFile): Int32Array {
  return file.tensors.get('labels')?.toInt32() ?? new Int32Array();
}

/** Writes the fixture's `weights.*` into the parameters of `model`. */
export function writeWeights(executor: Executor, model: ModelGraph, file: SafetensorsFile): void {
  for (const parameter of parameters(model.graph)) {
    executor.write(parameter.name, values(file, `weights.${parameter.name}`));
  }
}

/** Relative and absolute tolerance: |got − want| ≤ absolute + relative·|want|. */
export interface Tolerance {
  readonly relative: number;
  readonly absolute: number;
}

/** A whole float32 step against float64. */
export const FLOAT32: Tolerance = { relative: 1e-4, absolute: 1e-5 };

/** Fails with the worst element named; NaN never passes. */
export function expectClose(
  got: HostData | readonly number[],
  want: HostData | readonly number[],
  tolerance: Tolerance,
  what: string,
): void {
  expect(got.length, `${what}: number of elements`).toBe(want.length);
  let worst = -1;
  let worstExcess = 1;
  for (let i = 0; i < want.length; i++) {
    const bound = tolerance.absolute + tolerance.relative * Math.abs(want[i]);
    const difference = Math.abs(got[i] - want[i]);
    // Two NaN are the same answer where the reference says NaN; NaN for a number is not.
    if (Number.isNaN(want[i]) && Number.isNaN(got[i])) continue;
    const excess = Number.isNaN(difference) ? Infinity : difference / bound;
    if (excess <= worstExcess) continue;
    worst = i;
    worstExcess = excess;
  }
  if (worst < 0) return;
  const at = `${what}[${String(worst)}]`;
  expect.fail(`${at}: got ${String(got[worst])}, want ${String(want[worst])}`);
}

/** Entry of a fixture's metadata under the first key that it has. */
export function metadata(file: SafetensorsFile, ...keys: readonly string[]): string {
  for (const key of keys) {
    const value = file.metadata.get(key);
    if (value !== undefined) return value;
  }
  throw new Error(`the fixture has no metadata ${keys.join(' or ')}`);
}

/** The ViT configuration in a fixture's metadata. */
export function configOf(file: SafetensorsFile): VitConfig {
  const number = (...keys: readonly string[]) => Number(metadata(file, ...keys));
  const mean = file.metadata.get('pool') === 'avg';
  return {
    family: 'vit',
    imageSize: number('image'),
    patch: number('patch'),
    channels: 3,
    width: number('width', 'dim'),
    depth: number('depth'),
    heads: number('heads'),
    mlpRatio: 4,
    classes: number('classes'),
    pooling: mean ? 'mean' : 'token',
    classToken: !mean,
    layerNormEps: number('eps', 'layernorm_eps'),
  };
}

/** The Swin configuration in a fixture's metadata. */
export function swinConfigOf(file: SafetensorsFile): SwinConfig {
  const number = (key: string) => Number(metadata(file, key));
  const list = (key: string) => metadata(file, key).split(',').map(Number);
  return {
    family: 'swin',
    imageSize: number('image'),
    patch: number('patch'),
    channels: 3,
    width: number('width'),
    depths: list('depths'),
    heads: list('heads'),
    window: number('window'),
    mlpRatio: 4,
    classes: number('classes'),
    layerNormEps: number('eps'),
  };
}
