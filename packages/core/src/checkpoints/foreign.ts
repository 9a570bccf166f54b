/**
 * The way back: a dense model's tensors and configuration as another library reads them.
 *
 * The tables are those of the import, so what is written is read back as it was. A model
 * that the other library has not (mean pooling in transformers) is an error.
 */
import { ConfigError } from '../errors.js';
import { checkpointed } from '../ir/graph.js';
import type { Shape } from '../ir/types.js';
import type { ExportUse } from '../models/family.js';
import { buildModel, familyOf, type ModelConfig } from '../models/index.js';
import { noPlace, placesOf, type WrittenNaming } from '../models/naming.js';
import type { WeightSource } from '../train/weights.js';

interface Piece {
  readonly parameter: string;
  /** Which of how many blocks of rows. */
  readonly index: number;
  readonly count: number;
}

/**
 * The tensors of `source` (dense, under Thimble's names) under those of `naming`. Throws ConfigError
 * where the naming has no such model or a weight is in factors.
 */
export function foreignWeights(
  naming: WrittenNaming,
  config: ModelConfig,
  source: WeightSource,
): WeightSource {
  const layout = familyOf(config).writtenLayout(naming, config);
  const shapes = new Map<string, Shape>();
  const pieces = new Map<string, Piece>();
  for (const { name, type } of checkpointed(buildModel(config, { batch: 1 }).graph)) {
    const places = placesOf(layout, name);
    if (!places) throw noPlace(naming, name);
    if (!source.shapes.has(name)) throw noWeight(source, name);
    const [rows, ...rest] = type.shape;
    places.forEach((place, index) => {
      shapes.set(place, [rows / places.length, ...rest]);
      pieces.set(place, { parameter: name, index, count: places.length });
    });
  }
  const read = (place: string) => {
    const piece = pieces.get(place);
    if (!piece) throw noWeight(source, place);
    const data = source.read(piece.parameter);
    const length = data.length / piece.count;
    return data.subarray(piece.index * length, (piece.index + 1) * length);
  };
  return { name: source.name, shapes, read };
}

/**
 * config.json of transformers, which transformers.js reads too.
 *
 * @param use beside weights, which transformers has to have a model for, or beside a graph
 * Throws ConfigError for weights of a model that transformers does not have, and for labels of another
 * number than classes.
 */
export function huggingFaceConfig(
  config: ModelConfig,
  labels: readonly string[],
  use: ExportUse = 'weights',
): object {
  if (labels.length !== config.classes) {
    throw new ConfigError({
      where: 'labels',
      expected: `${String(config.classes)} names, one for each class`,
      got: String(labels.length),
      todo: 'Pass the names in the order of the classes',
    });
  }
  const shared = {
    id2label: Object.fromEntries(labels.map((label, index) => [String(index), label])),
    label2id: Object.fromEntries(labels.map((label, index) => [label, index])),
    problem_type: 'single_label_classification',
    torch_dtype: 'float32',
  };
  return familyOf(config).transformersConfig(config, shared, use);
}

function noWeight(source: WeightSource, name: string): ConfigError {
  const isFactored = source.shapes.has(`${name}.left`);
  return new ConfigError({
    where: `${source.name}, tensor ${name}`,
    expected: 'a dense weight',
    got: isFactored ? 'its factors' : 'none',
    todo: isFactored ? 'Multiply the factors out first: thimble merge' : 'Check the model and file',
  });
}
