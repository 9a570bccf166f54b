/** A training run before it starts: everything decided, nothing loaded. */
import type {
  Augment,
  Executor,
  ExecutorKind,
  LoadReport,
  Preprocess,
  PrepareTables,
  Ranks,
} from '@thimble/core';
import type { LoaderOptions } from '../data/loader.js';
import type { SourceDescription } from '../data/source.js';
import type { Origin } from '../run/origin.js';
import type { MemoryRecord } from '../memory/process-memory.js';
import type { RunRecord } from '../run/record.js';
import type { CompiledStep } from '../step/step.js';
import type { TrainingFolder } from './folder.js';

/** All that a run needs to know. */
export interface RunPlan {
  readonly step: CompiledStep;
  readonly classes: readonly string[];
  readonly preprocess: Preprocess;
  readonly augment: Augment;
  readonly augmentName: string;
  readonly train: SourceDescription;
  readonly validation: SourceDescription;
  readonly data: RunRecord['data'];
  readonly epochs: number;
  readonly learningRate: number;
  /** Epochs; below 1 a share of the run. */
  readonly warmup: number;
  readonly smoothing: number;
  readonly clip: number | null;
  readonly seed: number;
  readonly init: string | null;
  /** null without starting weights. */
  readonly origin: Origin | null;
  /** Tensors of the starting weights that the model has no place for. */
  readonly ignored: readonly string[];
  readonly ranks: Ranks;
  readonly tables: PrepareTables | null;
  /** What was chosen for --memory; null without. */
  readonly memory: MemoryRecord | null;
  /** Writes the starting weights; null when they are random. */
  readonly fill: (executor: Executor) => Promise<LoadReport | null>;
  readonly strict: boolean;
  readonly loading: LoaderOptions;
  readonly kind: ExecutorKind;
  readonly threads: number;
  /** Takes the folder of the run, once nothing more can be refused; the run closes it. */
  readonly takeFolder: () => TrainingFolder;
  /** Called with the trained weights still loaded, before the executor goes. */
  readonly afterwards?: (executor: Executor) => Promise<void>;
}
