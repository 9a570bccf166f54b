/**
 * What a checkpoint is: from the names and shapes of its tensors, the files beside it and its metadata, to
 * the model's configuration and the weights under Thimble's names.
 *
 * Every tensor of the file has to have a place: a parameter of the model, or the layout's list of what is
 * no weight (buffers, poolers). Anything else is a part that Thimble's model does not have, and an error
 * that lists it; nothing is left out in silence.
 */
import { CheckpointError, ConfigError } from '../errors.js';
import { checkpointed, type Checkpointed } from '../ir/graph.js';
import type { Shape } from '../ir/types.js';
import { agree, type Configured } from '../models/evidence.js';
import type { Family } from '../models/family.js';
import {
  buildModel,
  FAMILIES,
  KINDS,
  MODELS,
  type FamilyName,
  type ModelConfig,
} from '../models/index.js';
import { placesOf, type NamingName, type PlacedLayout } from '../models/naming.js';
import { storedRanks } from '../train/factors.js';
import type { WeightSource } from '../train/weights.js';
import { describeConfig, unknownArchitecture, withParts } from './describe.js';
import { labelsOf } from './labels.js';
import { integersOf, placedElement, placedShape, readPlaced, withoutWrapper } from './places.js';
import { parsePreprocess, storedPreprocess, writtenPreprocess } from './preprocess.js';
import { isThimble, saidOf, type SaidModel } from './said.js';
import type { Recognised, Sidecars } from './types.js';

/**
 * What the checkpoint `source` is.
 *
 * @param metadata of the safetensors file; of the first shard of several
 * @example recognise(openCheckpoint('vit.safetensors'), metadata, { config: null, preprocessor: null })
 * Throws CheckpointError that says what was recognised, what is missing and what is extra.
 */
export function recognise(
  source: WeightSource,
  metadata: ReadonlyMap<string, string>,
  sidecars: Sidecars,
): Recognised {
  const bare = withoutWrapper(source);
  const shapes = withProducts(bare.shapes);
  const placed = layoutOf(shapes);
  if (!placed) throw unknownArchitecture(bare, sidecars);
  const { layout } = placed;
  const found = configured(source.name, placed, shapes, saidOf(metadata, sidecars));
  const { config, hasClassifier, guesses } = found;
  const isOwn = isThimble(metadata);
  const own = isOwn ? metadata : new Map<string, string>();
  const naming: NamingName = isOwn ? 'thimble' : layout.naming;
  const description = describeConfig(naming, found);
  const wanted = wantedParameters(source.name, found);
  const ignored = matched({ file: source.name, description, ...placed, bare, shapes, wanted });
  return {
    naming,
    description: [description, ...guesses].join('; '),
    modelName: presetOf(config),
    config,
    hasClassifier,
    weights: translated(layout, bare, wanted),
    labels: hasClassifier ? labelsOf(source.name, own, sidecars, config.classes) : null,
    preprocess:
      storedPreprocess(own) ??
      parsePreprocess(sidecars) ??
      writtenPreprocess(metadata, config.imageSize),
    ignored,
  };
}

/** `shapes` with the weights that are there as factors only. */
function withProducts(shapes: ReadonlyMap<string, Shape>): ReadonlyMap<string, Shape> {
  const products = storedRanks(shapes);
  if (products.size === 0) return shapes;
  const result = new Map(shapes);
  for (const weight of products.keys()) {
    const rows = shapes.get(`${weight}.left`)?.[0];
    const columns = shapes.get(`${weight}.right`)?.[1];
    if (rows !== undefined && columns !== undefined && !result.has(weight)) {
      result.set(weight, [rows, columns]);
    }
  }
  return result;
}

/** The first layout whose sign the tensors have, and its family. */
function layoutOf(shapes: ReadonlyMap<string, Shape>): FoundLayout | undefined {
  const has = (layout: PlacedLayout) => (parameter: string) =>
    placesOf(layout, parameter)?.every((place) => shapes.has(place)) === true;
  for (const family of Object.keys(FAMILIES) as FamilyName[]) {
    for (const layout of FAMILIES[family].layouts) {
      const placed = layout.prefixes.map((prefix) => ({ ...layout, prefix }));
      const found = placed.find((each) => each.sign.every(has(each)));
      if (found) return { family, layout: found };
    }
  }
  return undefined;
}

interface FoundLayout {
  readonly family: FamilyName;
  readonly layout: PlacedLayout;
}

/** The configuration of the tensors. Throws CheckpointError where what is said contradicts them. */
function configured(
  file: string,
  { family, layout }: FoundLayout,
  shapes: ReadonlyMap<string, Shape>,
  { said, family: saidFamily }: SaidModel,
): Configured<ModelConfig> {
  agree({ file, said }, 'architecture', saidFamily, family);
  const record: Family<ModelConfig> = FAMILIES[family];
  return record.configure({
    file,
    naming: layout.naming,
    names: [...shapes.keys()],
    shape: (name) => placedShape(layout, shapes, name),
    said,
    kinds: KINDS,
  });
}

/** Every parameter and buffer that the file has to hold. */
function wantedParameters(
  file: string,
  { config, hasClassifier }: Configured<ModelConfig>,
): readonly Checkpointed[] {
  try {
    const model = buildModel(config, { batch: 1 });
    const all = checkpointed(model.graph);
    return hasClassifier ? all : all.filter(({ name }) => !name.startsWith(model.head));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { where, expected, got } = error.parts;
    const todo = 'Thimble has no such model; check the file and the config.json beside it';
    throw new CheckpointError({ where: `${file}, ${where}`, expected, got, todo });
  }
}

interface Match extends FoundLayout {
  readonly file: string;
  readonly description: string;
  readonly bare: WeightSource;
  /** Of `bare`, and of the products of its factors. */
  readonly shapes: ReadonlyMap<string, Shape>;
  readonly wanted: readonly Checkpointed[];
}

/** Throws CheckpointError unless every tensor has its place and shape; returns what is ignored. */
function matched(match: Match): readonly string[] {
  const { layout, bare, shapes, wanted } = match;
  const places = new Map(
    wanted.map((parameter) => [parameter, placesOf(layout, parameter.name) ?? [parameter.name]]),
  );
  const used = new Set([...places.values()].flat());
  const missing = [...used].filter((name) => !shapes.has(name));
  const isOurs = layout.naming === 'timm';
  const isFactor = (name: string) => isOurs && used.has(name.replace(/\.(left|right)$/, ''));
  const others = [...bare.shapes.keys()].filter((name) => !used.has(name) && !isFactor(name));
  const isIgnored = (name: string) => layout.ignored.some((pattern) => pattern.test(name));
  const extra = others.filter((name) => !isIgnored(name));
  if (missing.length > 0 || extra.length > 0) throw doesNotFit(match, missing, extra);
  for (const [{ type }, names] of places) {
    const [rows, ...rest] = type.shape;
    const shape = [rows / names.length, ...rest];
    const odd = names.find((name) => !sameUpToOnes(shapes.get(name), shape));
    if (odd !== undefined) throw oddShape(match, odd, shape);
  }
  return others;
}

/** Whether the shapes are the same but for ones behind: a classifier as a convolution of 1 × 1 pixels. */
function sameUpToOnes(found: Shape | undefined, wanted: Shape): boolean {
  if (!found) return false;
  const [longer, shorter] = found.length > wanted.length ? [found, wanted] : [wanted, found];
  return longer.every((extent, axis) => extent === (shorter[axis] ?? 1));
}

function doesNotFit(
  { file, description, wanted, family }: Match,
  missing: readonly string[],
  extra: readonly string[],
): CheckpointError {
  const { absent, strange, misplaced } = FAMILIES[family].reasons;
  const lacks = withParts(missing, absent);
  const has = withParts(extra, [...strange, ...misplaced]);
  const parts = [
    ...(missing.length > 0 ? [`${String(missing.length)} missing: ${lacks}`] : []),
    ...(extra.length > 0 ? [`${String(extra.length)} with no place in it: ${has}`] : []),
  ];
  return new CheckpointError({
    where: file,
    expected: `the ${String(wanted.length)} parameters of what it looks like: ${description}`,
    got: parts.join('; '),
    todo: `Thimble reads plain ${KINDS.many}; this is another model or a damaged file`,
  });
}

function oddShape(
  { file, description, shapes }: Match,
  name: string,
  shape: Shape,
): CheckpointError {
  return new CheckpointError({
    where: `${file}, tensor ${name}`,
    expected: `shape [${shape.join(', ')}] in ${description}`,
    got: `[${(shapes.get(name) ?? []).join(', ')}]`,
    todo: 'The file is damaged or was put together from several models',
  });
}

/** The source under Thimble's names; a weight that is there as factors only keeps them. */
function translated(
  layout: PlacedLayout,
  bare: WeightSource,
  wanted: readonly Checkpointed[],
): WeightSource {
  const shapes = new Map<string, Shape>();
  for (const { name, type } of wanted) {
    // As the model has it, which the file may have with ones behind.
    if (placedShape(layout, bare.shapes, name)) shapes.set(name, type.shape);
    for (const factor of [`${name}.left`, `${name}.right`]) {
      const found = bare.shapes.get(factor);
      if (found) shapes.set(factor, found);
    }
  }
  return {
    name: bare.name,
    shapes,
    read: (name) => readPlaced(layout, bare, name),
    // Tensors of integers are in one place each.
    ...integersOf(bare, (name) => placesOf(layout, name)?.[0] ?? name),
    locate: (name, element) => placedElement(layout, bare, name, element),
  };
}

/** The preset with the configuration, whatever its image size and classes. */
function presetOf(config: ModelConfig): string | null {
  const text = comparable(config);
  const found = Object.entries(MODELS).find(([, preset]) => comparable(preset) === text);
  return found?.[0] ?? null;
}

function comparable(config: ModelConfig): string {
  const entries = Object.entries({ ...config, imageSize: 0, classes: 0 });
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
