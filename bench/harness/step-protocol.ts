/**
 * What the step benchmark says to a contestant: JSON lines over standard input and output, the same
 * for Thimble's executors (contestant.ts) and for peers (peers/pytorch.py, whose header is the full
 * text).
 *
 *   configuration   →  {"ready": true, "version", "threads", "parameters", …}
 *   {"run": n}      →  {"ms": [n], "loss": [n], "rssPeakBytes"}
 *
 * A step is forward, mean cross entropy, backward and optimiser on one batch, the same each time;
 * `loss` is taken before the update. Memory is the process's own, so every contestant is a process.
 */

/** A vision transformer with 4 hidden units per unit of width and eps 1e-6 in its layer norms. */
export interface StepModel {
  readonly imageSize: number;
  readonly patch: number;
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  readonly classes: number;
  readonly pool: 'token' | 'avg';
}

/** A convolutional network by the name of its preset. */
export interface NetworkModel {
  readonly network: string;
  readonly imageSize: number;
  readonly classes: number;
}

/** The first line: what to compute. */
export interface StepConfig<M extends StepModel | NetworkModel = StepModel> {
  readonly model: M;
  readonly batch: number;
  readonly threads: number;
  readonly optimizer: 'sgd';
  readonly lr: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Steps before the first answer. */
  readonly warmup: number;
  /** Path of a safetensors with the starting weights under timm's names. */
  readonly weights: string;
  /** Path of a safetensors with `images` F32 [B, 3, S, S] and `labels` I32 [B]. */
  readonly data: string;
  readonly seed: number;
  /** How one peer runs, where it is not as it comes; others do not read it. */
  readonly pytorch?: PytorchSettings;
  readonly onnxruntime?: OnnxruntimeSettings;
}

/** What peers/pytorch_lean.py says of each. */
export interface PytorchSettings {
  readonly lean?: boolean;
  readonly bf16?: boolean;
  readonly microBatches?: number;
}

export interface OnnxruntimeSettings {
  /** Memory that is kept from step to step, and planned ahead; default true. */
  readonly arena: boolean;
}

/** Of any model that the step benchmark trains. */
export type AnyStepConfig = StepConfig<StepModel | NetworkModel>;

/** Answer to the first line; a peer leaves out what it does not know. */
export interface Ready {
  readonly version: string;
  readonly threads: number;
  readonly parameters: number;
  /** Bytes that the plan promises, and bytes that the executor allocated. */
  readonly plannedBytes?: number;
  readonly arenaBytes?: number;
  readonly flopsPerStep?: number;
  /** Peak memory of the process with the library loaded and nothing done. */
  readonly importBytes?: number;
}
