/** Weights and batch of the step benchmark, for peers that run in Node. */
import { readSafetensors } from '@thimble/core';
import { readFileSync } from 'node:fs';
import type { StepConfig } from '../../harness/step-protocol.js';

export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface StepData {
  /** By timm's names. */
  readonly weights: ReadonlyMap<string, HostTensor>;
  /** [B, 3, S, S] */
  readonly images: HostTensor;
  /** [B] */
  readonly labels: Int32Array;
}

export function readStepData(config: StepConfig): StepData {
  const batch = readSafetensors(readFileSync(config.data)).tensors;
  const images = batch.get('images');
  const labels = batch.get('labels');
  if (!images || !labels) throw new Error(`${config.data}: expected images and labels`);
  const { tensors } = readSafetensors(readFileSync(config.weights));
  return {
    weights: new Map(
      [...tensors].map(([name, view]) => [name, { shape: view.shape, data: view.toFloat32() }]),
    ),
    images: { shape: images.shape, data: images.toFloat32() },
    labels: labels.toInt32(),
  };
}

/** Elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}
