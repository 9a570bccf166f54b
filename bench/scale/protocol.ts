/**
 * What the scale benchmark says to Thimble's contestants, JSON lines as in harness/step-protocol.ts:
 *
 *   ScaleConfig   →  ScaleReady
 *   {"run": n}    →  {"ms": [n], "loss": [n], "rssPeakBytes"}   training steps
 */
import type { CompileOptions, ModelName, SgdSettings } from '@thimble/core';

/** What a row of the table trains with. */
export interface RowConfig {
  /** As `parseMethod` reads it. */
  readonly method: string;
  /** Default 1. */
  readonly microBatches?: number;
  /** How the program is compiled; what is left out is the command's default. */
  readonly compile?: Partial<Omit<CompileOptions, ConfiguredElsewhere>>;
  /** Beside the momentum, which everybody has. */
  readonly sgd?: SgdSettings;
  /** Default DEFAULT_RANKS. */
  readonly ranks?: RankSource;
}

type ConfiguredElsewhere = 'model' | 'method' | 'optimizer' | 'batch' | 'microBatches' | 'trace';

/**
 * Where ranks come from.
 *
 *   published  of weights those published for ViT-B/32's MLPs, in all linears; of inputs as measured
 *   measured   all of them on smaller models (imposed.ts), whose weights are fuller; factored plainly
 *   found      prepared as `train` does, on the images of the batch: for what preparing takes
 */
export type RankSource = 'measured' | 'published' | 'found';

export const DEFAULT_RANKS: RankSource = 'published';

export interface ScaleConfig {
  readonly row: RowConfig;
  readonly model: ModelName;
  readonly classes: number;
  /** Images of one update. */
  readonly batch: number;
  readonly threads: number;
  readonly learningRate: number;
  readonly momentum: number;
  /** Paths of safetensors (workload.ts). */
  readonly weights: string;
  readonly data: string;
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
  /** Mean rank of the factored weights as a share of the smaller side; null: none is factored. */
  readonly rankShare: number | null;
  /** Inputs in Tucker form. */
  readonly compressed: number;
  /** Seconds that preparing took, and the process's peak behind it. */
  readonly prepareSeconds: number;
  readonly preparePeakBytes: number;
}
