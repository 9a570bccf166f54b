/**
 * What the scale benchmark says to Thimble's contestants, JSON lines as in harness/step-protocol.ts:
 *
 *   ScaleConfig   →  {"ready": true, "version", "threads", "parameters", "plannedBytes", …}
 *   {"run": n}    →  {"ms": [n], "loss": [n], "rssPeakBytes"}   training steps
 *   {"infer": n}  →  {"ms": [n]}                                evaluations of `evalBatch` images
 */
import type { ModelName } from '@thimble/core';

export interface ScaleConfig {
  readonly model: ModelName;
  readonly classes: number;
  /** As `parseMethod` reads it. */
  readonly method: string;
  readonly saved: 'exact' | 'compact' | 'smallest';
  /** Images of one update. */
  readonly batch: number;
  readonly microBatches: number;
  readonly evalBatch: number;
  readonly threads: number;
  readonly learningRate: number;
  /** Path of a safetensors with dense weights. */
  readonly weights: string;
}

/** What a contestant says when it is ready. */
export interface ScaleReady {
  readonly ready: true;
  readonly version: string;
  readonly threads: number;
  readonly parameters: number;
  readonly plannedBytes: number;
  readonly arenaBytes: number;
  /** Operations of one update, all micro-batches included. */
  readonly flopsPerStep: number;
  readonly flopsPerEvaluation: number;
  /** Mean rank of the factored weights as a share of the smaller side; null: none is factored. */
  readonly rankShare: number | null;
  /** Seconds that preparing took: decompositions and ranks. */
  readonly prepareSeconds: number;
}
