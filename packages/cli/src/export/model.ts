/** The model that an export writes, in the form that its weights have or made dense. */
import {
  buildModel,
  checkedClassNames,
  checkpointed,
  ConfigError,
  DataError,
  FileError,
  InternalError,
  linears,
  matchWeights,
  mergedWeights,
  parseMethod,
  PLAIN_METHOD,
  type BoundMethod,
  type MergedTensor,
  type ModelBuilder,
  type ModelConfig,
  type ModelGraph,
  type Preprocess,
  type TensorData,
  type WeightSource,
} from '@thimble/core';
import { readBytes } from '../host/files.js';
import { methodOf, withoutClassifier } from '../inference/inference.js';
import { classesOf, openStart, preprocessFor, type Access, type Start } from '../source/start.js';
import { preprocessNamed } from '../weights/preprocessing.js';

export interface ExportedModel {
  readonly name: string;
  readonly config: ModelConfig;
  /** As it is written: the weights' own, or `full`. */
  readonly method: BoundMethod;
  /** The parameters and buffers that `method` makes of the model. */
  readonly weights: WeightSource;
  /** Those of the dense model: products multiplied out as they are read. */
  readonly dense: WeightSource;
  /** What is written, each in its own dtype. */
  readonly tensors: readonly MergedTensor[];
  /** The same by name. */
  readonly contents: (tensor: string) => TensorData;
  /** Whether `weights` has factors. */
  readonly isFactored: boolean;
  /** Names of the classes in the order of the logits. */
  readonly labels: readonly string[];
  readonly preprocess: Preprocess;
  /** Metadata of the checkpoint. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The weights as they came, for the executor that exported files are compared with. */
  readonly original: { readonly method: BoundMethod; readonly weights: WeightSource };
  close(): void;
}

export interface ExportedOptions {
  readonly dense: boolean;
  /** A file with one name in each line; else those of the model. */
  readonly labels?: string;
  /** As --preprocess; else the model's. */
  readonly preprocess?: string;
}

/** Opens a run, or whatever else `openStart` takes. Throws what that throws, and ConfigError. */
export async function openExported(
  from: string,
  options: ExportedOptions,
  access: Access,
): Promise<ExportedModel> {
  const start = await openStart(from, access);
  try {
    if (!start.hasClassifier) throw withoutClassifier(start);
    return exportedModel(start, options);
  } catch (error) {
    start.checkpoint.close();
    throw error;
  }
}

function exportedModel(start: Start, options: ExportedOptions): ExportedModel {
  const { path, checkpoint, record } = start;
  const { name, config } = start.model;
  const own = methodOf(start);
  const form = own.forward(buildModel(config, { batch: 1 }));
  const { contents } = matchWeights(form, checkpoint, record?.seed ?? 0);
  const stored = checkpointed(form.graph).map(({ name: tensor, type }): MergedTensor => {
    return { name: tensor, ...type, read: () => contents(tensor) };
  });
  const merged = mergedWeights(form, contents);
  const [weights, dense] = [sourceOf(path, stored), sourceOf(path, merged)];
  const isFactored = hasFactors(form) && !options.dense;
  const tensors = isFactored ? stored : merged;
  const asked = options.preprocess;
  return {
    name,
    config,
    method: isFactored ? own : parseMethod(PLAIN_METHOD),
    weights: isFactored ? weights : dense,
    dense,
    tensors,
    contents: contentsOf(path, tensors),
    isFactored,
    labels: labelsOf(start, options.labels),
    preprocess: preprocessFor(
      config,
      asked === undefined ? start.preprocess : preprocessNamed(asked),
    ),
    metadata: checkpoint.metadata,
    original: { method: own, weights },
    close: () => {
      checkpoint.close();
    },
  };
}

/** The forward graph of what is exported, for a batch. */
export function graphOf({ config, method }: ExportedModel): ModelBuilder {
  return (batch, mode) => method.forward(buildModel(config, { batch, mode }));
}

function hasFactors(model: ModelGraph): boolean {
  return linears(model, 'all').some(({ form }) => form.kind !== 'dense');
}

/** Reads of `tensors` by name. */
function contentsOf(
  file: string,
  tensors: readonly MergedTensor[],
): (tensor: string) => TensorData {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return (tensor) => {
    const data = byName.get(tensor)?.read();
    if (data) return data instanceof Float64Array ? Float32Array.from(data) : data;
    throw InternalError.of(file, `tensor ${tensor}`, 'none of this name');
  };
}

function sourceOf(name: string, tensors: readonly MergedTensor[]): WeightSource {
  const contents = contentsOf(name, tensors);
  return {
    name,
    shapes: new Map(tensors.map((tensor) => [tensor.name, tensor.shape])),
    read: (tensor) => {
      const data = contents(tensor);
      if (data instanceof Float32Array) return data;
      throw InternalError.of(`${name}, tensor ${tensor}`, 'reals', 'integers');
    },
    readIntegers: (tensor, dtype) => {
      const data = contents(tensor);
      if (!(data instanceof Float32Array)) return data;
      throw InternalError.of(`${name}, tensor ${tensor}`, `integers for ${dtype}`, 'reals');
    },
  };
}

function labelsOf(start: Start, file: string | undefined): readonly string[] {
  if (file === undefined) {
    return checkedClassNames(classesOf(start), start.path, 'Pass other names with --labels FILE');
  }
  const labels = linesOf(file);
  const { classes } = start.model.config;
  const where = `--labels ${file}`;
  if (labels.length === classes) return checkedClassNames(labels, where, 'Correct the file');
  throw new ConfigError({
    where,
    expected: `${String(classes)} lines, one for each class of the model`,
    got: String(labels.length),
    todo: "Pass the names in the order of the classes, or none for the model's own",
  });
}

/** Bytes of a file of names. */
const MOST_BYTES = 16_000_000;

/** The lines of a text file, without empty ones at its end. Throws FileError and DataError. */
function linesOf(file: string): readonly string[] {
  const where = `--labels ${file}`;
  const bytes = bytesOf(file, where);
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes); // without a byte order mark
    return text
      .trimEnd()
      .split(/\r?\n/)
      .map((line) => line.trim());
  } catch {
    throw new DataError({
      where,
      expected: 'text in UTF-8',
      got: 'another encoding',
      todo: 'Pass a text file with one name in each line',
    });
  }
}

function bytesOf(file: string, where: string): Buffer {
  try {
    return readBytes(file, 'a text file with the name of a class in each line', MOST_BYTES);
  } catch (error) {
    throw error instanceof FileError ? new FileError({ ...error.parts, where }) : error;
  }
}
