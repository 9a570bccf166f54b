/**
 * Weights in and out of an executor: starting values, a checkpoint's tensors, and back.
 */
import { CheckpointError } from '../errors.js';
import type { Executor, HostData } from '../executors/executor.js';
import { firstNotFinite } from '../finite.js';
import { parameters, type ModelGraph, type Parameter } from '../ir/graph.js';
import { sameShape, type Shape } from '../ir/types.js';
import { initialValues } from '../nn/initialise.js';
import { checkForms } from './factors.js';
import { canResizePositions, resizePositions } from './positions.js';

/** Tensors of a checkpoint, read one at a time so that a large file is never held whole. */
export interface WeightSource {
  /** What errors call it: a file name. */
  readonly name: string;
  readonly shapes: ReadonlyMap<string, Shape>;
  read(tensor: string): Float32Array;
  /** For errors, where a file calls it otherwise: whose element `element` of `tensor` is there. */
  readonly locate?: (tensor: string, element: number) => ElementPlace;
}

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

/** Starts every parameter from its initial distribution. */
export function initialise(executor: Executor, model: ModelGraph, seed: number): void {
  for (const parameter of parameters(model.graph)) writeInitial(executor, parameter, seed);
}

/**
 * Starts every parameter from `source`; a classifier of another size starts fresh (zero), as usual when a
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
  const { read, report } = matchWeights(model, given, seed);
  for (const { name } of parameters(model.graph)) executor.write(name, read(name));
  return report;
}

/** A checkpoint that was found to fit a model. */
export interface WeightMatch {
  /** The starting value of any parameter of the model; throws CheckpointError unless it is finite. */
  read(parameter: string): Float32Array;
  readonly report: LoadReport;
}

/** The checks of `loadWeights`. Throws CheckpointError; reads and writes nothing. */
export function matchWeights(model: ModelGraph, given: WeightSource, seed: number): WeightMatch {
  const { source, resized } = fitPositions(model, given);
  const all = parameters(model.graph);
  const replaced = new Map(
    all
      .filter((parameter) => isReplacedHead(parameter, model, source))
      .map(({ name, type }) => [name, type.shape]),
  );
  const added = new Set(addedParts(model, source));
  const fresh = new Map(all.filter(({ name }) => added.has(name)).map((p) => [p.name, p]));
  const loaded = all.filter(({ name }) => !replaced.has(name) && !fresh.has(name));
  checkForms(loaded, source.name, source.shapes);
  checkShapes(loaded, source);
  const known = new Set(all.map((parameter) => parameter.name));
  return {
    read: (name) => {
      const shape = replaced.get(name);
      const adapter = fresh.get(name);
      if (adapter) return initialValues(adapter.source.initial, adapter.type.shape, seed, name);
      if (shape) return initialValues({ kind: 'zeros' }, shape, seed, '');
      return finite(source, name, source.read(name));
    },
    report: {
      loaded: loaded.length,
      replaced: [...replaced.keys()],
      resized,
      unused: [...source.shapes.keys()].filter((name) => !known.has(name)),
    },
  };
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

/** The current value of every parameter, in the model's order. */
export async function readWeights(
  executor: Executor,
  model: ModelGraph,
): Promise<readonly { readonly name: string; readonly shape: Shape; readonly data: HostData }[]> {
  const result = [];
  for (const { name, type } of parameters(model.graph)) {
    result.push({ name, shape: type.shape, data: await executor.read(name) });
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

function writeInitial(executor: Executor, parameter: Parameter, seed: number): void {
  const { name, type, source } = parameter;
  executor.write(name, initialValues(source.initial, type.shape, seed, name));
}

/** What forms add to a dense weight, where `source` has nothing of it. */
function addedParts({ forms = [] }: ModelGraph, { shapes }: WeightSource): readonly string[] {
  return forms.flatMap(({ added }) => (added.some((name) => shapes.has(name)) ? [] : added));
}

/** True for a classifier tensor whose first extent, the number of classes, differs. */
function isReplacedHead(parameter: Parameter, model: ModelGraph, source: WeightSource): boolean {
  const found = source.shapes.get(parameter.name);
  if (!parameter.name.startsWith(model.head)) return false;
  if (!found) return true;
  const { shape } = parameter.type;
  return found[0] !== shape[0] && sameShape(found.slice(1), shape.slice(1));
}

function checkShapes(expected: readonly Parameter[], source: WeightSource): void {
  const missing = expected.filter(({ name }) => !source.shapes.has(name)).map(({ name }) => name);
  if (missing.length > 0) {
    const shown = missing.slice(0, 5).join(', ') + (missing.length > 5 ? ', …' : '');
    throw new CheckpointError({
      where: source.name,
      expected: `all ${String(expected.length)} tensors of the model`,
      got: `${String(missing.length)} missing: ${shown}`,
      todo: 'Choose the --model that the checkpoint was made for',
    });
  }
  for (const { name, type } of expected) {
    const found = source.shapes.get(name) ?? [];
    if (sameShape(found, type.shape)) continue;
    throw new CheckpointError({
      where: `${source.name}, tensor ${name}`,
      expected: `shape [${type.shape.join(', ')}]`,
      got: `[${found.join(', ')}]`,
      todo: 'Choose the --model and --image-size that the checkpoint was made for',
    });
  }
}
