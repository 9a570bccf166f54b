/** A training run before it starts: everything decided, nothing loaded. */
import type {
  Augment,
  Executor,
  ExecutorKind,
  LoadReport,
  PrepareTables,
  Session,
} from '@thimble/core';
import type { CacheSettings } from '../data/image-cache.js';
import type { LoaderOptions } from '../data/loader.js';
import type { SourceDescription } from '../data/source.js';
import type { RunRecord, RunSettings } from '../run/record.js';
import type { CompiledStep } from '../step/step.js';
import type { TrainingFolder } from './folder.js';

/** The settings of a run, and what carrying them out takes. */
export interface RunPlan {
  readonly settings: RunSettings;
  readonly step: CompiledStep;
  readonly augment: Augment;
  readonly train: SourceDescription;
  readonly validation: SourceDescription;
  /** Epochs; below 1 a share of the run. */
  readonly warmup: number;
  /** Tensors of the starting weights that the model has no place for. */
  readonly ignored: readonly string[];
  /** What the ranks were chosen from; null where they were not chosen now. */
  readonly tables: PrepareTables | null;
  /** Brings the session to where it starts; null where no weights were loaded that are worth a word. */
  readonly fill: (session: Session) => Promise<LoadReport | null>;
  /** The record of the run that goes on; absent: a new one. */
  readonly resumed?: RunRecord;
  /** After so much training the run is saved and left; absent: after its last epoch. */
  readonly timeMs?: number;
  /** Updates between two saves within an epoch; absent: by time. */
  readonly saveEvery?: number;
  readonly strict: boolean;
  readonly loading: LoaderOptions;
  /** Of decoded images; null: none. */
  readonly cache: CacheSettings | null;
  readonly kind: ExecutorKind;
  readonly threads: number;
  /** Takes the folder of the run, once nothing more can be refused; the run closes it. */
  readonly takeFolder: () => TrainingFolder;
  /** Called with the trained weights still loaded, before the executor goes. */
  readonly afterwards?: (executor: Executor) => Promise<void>;
}

type StepSettings = Pick<
  RunSettings,
  'model' | 'method' | 'saved' | 'optimizer' | 'batchNorm' | 'batch' | 'microBatches' | 'slices'
>;

/** What the settings of a run take from its step. */
export function stepSettings(step: CompiledStep): StepSettings {
  const { modelName, config, method, saved, batchNorm, optimizer, pass } = step;
  const { microBatches, slices } = step;
  return {
    model: { name: modelName, config },
    method: method.text,
    saved,
    ...(batchNorm === null ? {} : { batchNorm }),
    optimizer: { name: optimizer.name, settings: optimizer.settings },
    batch: pass * microBatches,
    microBatches,
    slices,
  };
}
