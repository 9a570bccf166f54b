/** The model that an export writes: of a run, in the form that it has or made dense. */
import {
  buildModel,
  ConfigError,
  DataError,
  linears,
  matchWeights,
  mergedWeights,
  parameters,
  parseMethod,
  type ModelGraph,
  type Shape,
  type WeightSource,
} from '@thimble/core';
import { readFileSync } from 'node:fs';
import { openCheckpoint } from '../checkpoint.js';
import { checkpointPath, readRunRecord, type RunRecord } from '../run-folder.js';

export interface ExportedModel {
  readonly record: RunRecord;
  /** Names of the classes in the order of the logits. */
  readonly labels: readonly string[];
  /** The method that the weights belong to: that of the run, or `full`. */
  readonly method: string;
  /** The forward graph for a batch. */
  readonly model: (batch: number) => ModelGraph;
  /** The parameters of `model`. */
  readonly weights: WeightSource;
  /** The parameters of the dense model: products multiplied out as they are read. */
  readonly dense: WeightSource;
  /** Metadata of the checkpoint. */
  readonly metadata: ReadonlyMap<string, string>;
  /** True while weights are in factors. */
  readonly isFactored: boolean;
  close(): void;
}

export interface ExportedOptions {
  readonly best: boolean;
  readonly dense: boolean;
  /** A file with one name in each line; else those of the run. */
  readonly labels?: string;
}

/** Opens a run. Throws FormatError, CheckpointError, DataError or ConfigError. */
export function openExported(run: string, options: ExportedOptions): ExportedModel {
  const record = readRunRecord(run);
  const path = checkpointPath(run, options.best);
  const labels = labelsOf(record, options.labels);
  const checkpoint = openCheckpoint(path);
  try {
    const build = (batch: number) => buildModel(record.model.config, { batch });
    const bound = parseMethod(record.method).withRanks(record.ranks);
    const form = bound.forward(build(1));
    const { read } = matchWeights(form, checkpoint, record.seed);
    const dense = denseWeights(path, form, read);
    const isFactored = hasFactors(form) && !options.dense;
    const method = isFactored ? bound : parseMethod('full');
    const all = parameters(form.graph);
    const shapes = new Map(all.map(({ name, type }) => [name, type.shape]));
    return {
      record,
      labels,
      method: isFactored ? record.method : 'full',
      model: (batch) => method.forward(build(batch)),
      weights: isFactored ? { name: path, shapes, read } : dense,
      dense,
      metadata: checkpoint.metadata,
      isFactored,
      close: () => {
        checkpoint.close();
      },
    };
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

function hasFactors(model: ModelGraph): boolean {
  return linears(model, 'all').some(({ form }) => form.kind !== 'dense');
}

function denseWeights(
  name: string,
  model: ModelGraph,
  read: (parameter: string) => Float32Array,
): WeightSource {
  const tensors = new Map(mergedWeights(model, read).map((tensor) => [tensor.name, tensor]));
  const shapes = new Map<string, Shape>([...tensors].map(([key, { shape }]) => [key, shape]));
  return {
    name,
    shapes,
    read: (parameter) => {
      const data = tensors.get(parameter)?.read() ?? read(parameter);
      return data instanceof Float32Array ? data : Float32Array.from(data);
    },
  };
}

function labelsOf({ classes, model }: RunRecord, file: string | undefined): readonly string[] {
  if (file === undefined) return classes;
  const labels = linesOf(file);
  if (labels.length === model.config.classes) return labels;
  throw new ConfigError({
    where: `--labels ${file}`,
    expected: `${String(model.config.classes)} lines, one for each class of the model`,
    got: String(labels.length),
    todo: 'Pass the names in the order of the classes, or leave --labels out for those of the run',
  });
}

/** The lines of a text file, without empty ones at its end. */
function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8')
      .replace(/^\uFEFF/, '')
      .trimEnd()
      .split(/\r?\n/)
      .map((line) => line.trim());
  } catch (error) {
    throw new DataError({
      where: `--labels ${file}`,
      expected: 'a text file with the name of a class in each line',
      got: error instanceof Error ? error.message : String(error),
      todo: 'Check the path',
    });
  }
}
