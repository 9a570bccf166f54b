/**
 * Weights in and out of an executor: starting values, a checkpoint's tensors, and back.
 */
import { CheckpointError } from '../errors.js';
import type { Executor, HostData } from '../executors/executor.js';
import { firstNotFinite } from '../finite.js';
import { checkpointed, isParameter, parameters } from '../ir/graph.js';
import type { Checkpointed, ModelGraph } from '../ir/graph.js';
import { sameShape, type DType, type Shape } from '../ir/types.js';
import { initialContents } from '../nn/initialise.js';
import { hostSlots } from '../program.js';
import { checkForms } from './factors.js';
import { canResizePositions, resizePositions } from './positions.js';

/** Tensors of a checkpoint, read one at a time so that a large file is never held whole. */
export interface WeightSource {
  /** What errors call it: a file name. */
  readonly name: string;
  readonly shapes: ReadonlyMap<string, Shape>;
  /** A tensor of reals. */
  read(tensor: string): Float32Array;
  /**
   * A tensor of integers, exact; absent: the source has none. Throws for one of reals, and for elements that `dtype`
   * cannot hold.
   */
  readIntegers?(tensor: string, dtype: IntegerDType): IntegerArray;
  /** For errors, where a file calls it otherwise: whose element `element` of `tensor` is there. */
  readonly locate?: (tensor: string, element: number) => ElementPlace;
}

/** A dtype of whole numbers. */
export type IntegerDType = Exclude<DType, 'f32'>;
/** Contents of a tensor of whole numbers. */
export type IntegerArray = Int32Array | Int8Array;

/** Contents of a tensor, in its own dtype. */
export type TensorData = Float32Array | IntegerArray;

/** An element of a tensor of a file. */
export interface ElementPlace {
  readonly tensor: string;
  readonly element: number;
}

/** What `loadWeights` did with the tensors. */
export interface LoadReport {
  readonly loaded: number;
  /** Parameters of the classifier that start fresh, since the number of classes differs. */
  readonly replaced: readonly string[];
  /** Position embeddings that were resized to the model's image size. */
  readonly resized: readonly string[];
  /** Tensors of the file that the model has no place for. */
  readonly unused: readonly string[];
}

/** Starts every parameter and buffer from its initial distribution. */
export function initialise(executor: Executor, model: ModelGraph, seed: number): void {
  for (const value of placed(executor, model)) {
    executor.write(value.name, initialContents(value, seed));
  }
}

/**
 * Starts every parameter and buffer from `source`; a classifier of another size starts fresh (zero), as usual when a
 * pretrained model meets new classes; a position embedding of another image size is resized; adapters that
 * the source does not have start from their initial distribution. Throws CheckpointError, before anything is
 * written, when a tensor is missing or has another shape, and as soon as a value is NaN or infinite.
 */
export function loadWeights(
  executor: Executor,
  model: ModelGraph,
  given: WeightSource,
  seed: number,
): LoadReport {
  const { contents, report } = matchWeights(model, given, seed);
  for (const { name } of placed(executor, model)) executor.write(name, contents(name));
  return report;
}

/** The parameters and buffers of `model` but for the buffers that no entry of the program reads. */
function placed({ program }: Executor, { graph }: ModelGraph): readonly Checkpointed[] {
  const slots = hostSlots(program);
  return checkpointed(graph).filter((value) => isParameter(value) || slots.has(value.name));
}

/** A checkpoint that was found to fit a model. */
export interface WeightMatch {
  /** The starting value of a parameter or buffer of reals; throws CheckpointError unless it is finite. */
  read(name: string): Float32Array;
  /** The starting value of any parameter or buffer, in its own dtype; throws what `read` throws. */
  contents(name: string): TensorData;
  readonly report: LoadReport;
}

/** The checks of `loadWeights`. Throws CheckpointError; reads and writes nothing. */
export function matchWeights(model: ModelGraph, given: WeightSource, seed: number): WeightMatch {
  const { source, resized } = fitPositions(model, given);
  const all = checkpointed(model.graph);
  const replaced = all.filter((value) => isReplacedHead(value, model, source)).map(zeroed);
  const added = new Set(addedParts(model, source));
  const parts = all.filter(({ name }) => added.has(name));
  const fresh = new Map([...parts, ...replaced].map((value) => [value.name, value]));
  const loaded = all.filter(({ name }) => !fresh.has(name));
  checkForms(loaded.filter(isParameter), source.name, source.shapes);
  checkShapes(loaded, source);
  const known = new Map(all.map((value) => [value.name, value]));
  const contents = (name: string): TensorData => {
    const value = fresh.get(name);
    if (value) return initialContents(value, seed);
    const { dtype } = known.get(name)?.type ?? { dtype: 'f32' };
    if (dtype !== 'f32') return integers(source, name, dtype);
    return finite(source, name, source.read(name));
  };
  return {
    read: (name) => reals(source, name, contents(name)),
    contents,
    report: {
      loaded: loaded.length,
      replaced: replaced.map(({ name }) => name),
      resized,
      unused: [...source.shapes.keys()].filter((name) => !known.has(name)),
    },
  };
}

/** The same, starting at zero. */
function zeroed(value: Checkpointed): Checkpointed {
  return { ...value, source: { ...value.source, initial: { kind: 'zeros' } } };
}

/**
 * `source` with position embeddings of another image size resized to the model's, as read; and the
 * names of those.
 */
export function fitPositions(
  model: ModelGraph,
  source: WeightSource,
): { readonly source: WeightSource; readonly resized: readonly string[] } {
  const shapeOf = new Map(parameters(model.graph).map(({ name, type }) => [name, type.shape]));
  const resizedTo = new Map<string, { readonly shape: Shape; readonly prefix: number }>();
  for (const { name, prefix } of model.positions ?? []) {
    const [found, shape] = [source.shapes.get(name), shapeOf.get(name)];
    if (!found || !shape || sameShape(found, shape)) continue;
    if (canResizePositions(found, shape, prefix)) resizedTo.set(name, { shape, prefix });
  }
  if (resizedTo.size === 0) return { source, resized: [] };
  const shapes = new Map(source.shapes);
  for (const [name, { shape }] of resizedTo) shapes.set(name, shape);
  const read = (name: string) => {
    const data = source.read(name);
    const to = resizedTo.get(name);
    const from = source.shapes.get(name);
    if (!to || !from) return data;
    return resizePositions(finite(source, name, data), from, to.shape[1], to.prefix);
  };
  return { source: { ...source, shapes, read }, resized: [...resizedTo.keys()] };
}

/** A tensor of a model as an executor has it. */
export interface ReadTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: HostData;
}

/** The current value of every parameter and buffer, in the model's order. */
export async function readWeights(
  executor: Executor,
  model: ModelGraph,
): Promise<readonly ReadTensor[]> {
  const result = [];
  for (const { name, type } of checkpointed(model.graph)) {
    const { shape, dtype } = type;
    result.push({ name, shape, dtype, data: await executor.read(name) });
  }
  return result;
}

/** `data`, which `source` has for `name`. Throws CheckpointError for NaN and infinities. */
function finite(source: WeightSource, name: string, data: Float32Array): Float32Array {
  const at = firstNotFinite(data);
  if (at < 0) return data;
  const { tensor, element } = source.locate?.(name, at) ?? { tensor: name, element: at };
  throw new CheckpointError({
    where: `${source.name}, tensor ${tensor}`,
    expected: 'finite numbers',
    got: `${String(data[at])} at element ${String(element)}`,
    todo: 'The file is damaged, or its training diverged; use another checkpoint',
  });
}

/** `data`, if it is of reals. Throws CheckpointError. */
function reals({ name: file }: WeightSource, name: string, data: TensorData): Float32Array {
  if (data instanceof Float32Array) return data;
  throw new CheckpointError({
    where: `${file}, tensor ${name}`,
    expected: 'a tensor of reals',
    got: 'one that the model holds as integers',
    todo: 'Report this as a bug',
  });
}

/** The tensor `name`, which the model holds as integers. Throws CheckpointError. */
function integers(source: WeightSource, name: string, dtype: IntegerDType): IntegerArray {
  if (source.readIntegers) return source.readIntegers(name, dtype);
  throw new CheckpointError({
    where: `${source.name}, tensor ${name}`,
    expected: `integers, which the model holds as ${dtype}`,
    got: 'a source of reals only',
    todo: 'Use the checkpoint that Thimble saved',
  });
}

/** What forms add to a dense weight, where `source` has nothing of it. */
function addedParts({ forms = [] }: ModelGraph, { shapes }: WeightSource): readonly string[] {
  return forms.flatMap(({ added }) => (added.some((name) => shapes.has(name)) ? [] : added));
}

/** True for a classifier tensor whose first extent, the number of classes, differs. */
function isReplacedHead(value: Checkpointed, model: ModelGraph, source: WeightSource): boolean {
  const found = source.shapes.get(value.name);
  if (!isParameter(value) || !value.name.startsWith(model.head)) return false;
  if (!found) return true;
  const { shape } = value.type;
  return found[0] !== shape[0] && sameShape(found.slice(1), shape.slice(1));
}

function checkShapes(expected: readonly Checkpointed[], source: WeightSource): void {
  const missing = expected.filter(({ name }) => !source.shapes.has(name)).map(({ name }) => name);
  if (missing.length > 0) {
    const shown = missing.slice(0, 5).join(', ') + (missing.length > 5 ? ', …' : '');
    throw new CheckpointError({
      where: source.name,
      expected: `all ${String(expected.length)} tensors of the model`,
      got: `${String(missing.length)} missing: ${shown}`,
      todo: 'Choose the model that the checkpoint was made for',
      options: ['model'],
    });
  }
  for (const { name, type } of expected) {
    const found = source.shapes.get(name) ?? [];
    if (sameShape(found, type.shape)) continue;
    throw new CheckpointError({
      where: `${source.name}, tensor ${name}`,
      expected: `shape [${type.shape.join(', ')}]`,
      got: `[${found.join(', ')}]`,
      todo: 'Choose the model and the image size that the checkpoint was made for',
      options: ['model', 'imageSize'],
    });
  }
}
