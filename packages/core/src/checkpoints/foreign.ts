/**
 * The way back: a dense model's tensors and configuration as another library reads them.
 *
 * The tables are those of the import (`layouts.ts`), so what is written is read back as it was. A model
 * that the other library has not (mean pooling in transformers) is an error.
 */
import { ConfigError } from '../errors.js';
import { checkpointed } from '../ir/graph.js';
import type { Shape } from '../ir/types.js';
import { buildModel, type ModelConfig } from '../models/index.js';
import type { WeightSource } from '../train/weights.js';
import { writtenLayout } from './layouts.js';
import { placesOf } from './places.js';

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
  naming: 'hugging-face' | 'timm',
  config: ModelConfig,
  source: WeightSource,
): WeightSource {
  const layout = writtenLayout(naming, config);
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
 * config.json of transformers (ViT, DeiT with its distillation token, Swin), which transformers.js reads
 * too. Throws ConfigError for mean pooling, which transformers' ViT does not have, and for labels of
 * another number than classes.
 */
export function huggingFaceConfig(config: ModelConfig, labels: readonly string[]): object {
  if (labels.length !== config.classes) {
    throw new ConfigError({
      where: 'labels',
      expected: `${String(config.classes)} names, one for each class`,
      got: String(labels.length),
      todo: 'Pass the names in the order of the classes',
    });
  }
  const shared = {
    hidden_act: 'gelu',
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    image_size: config.imageSize,
    patch_size: config.patch,
    num_channels: config.channels,
    layer_norm_eps: config.layerNormEps,
    qkv_bias: true,
    id2label: Object.fromEntries(labels.map((label, index) => [String(index), label])),
    label2id: Object.fromEntries(labels.map((label, index) => [label, index])),
    problem_type: 'single_label_classification',
    torch_dtype: 'float32',
  };
  if (config.family === 'swin') {
    const { width, depths, heads, window, mlpRatio } = config;
    return {
      architectures: ['SwinForImageClassification'],
      model_type: 'swin',
      ...shared,
      embed_dim: width,
      depths,
      num_heads: heads,
      num_layers: depths.length,
      hidden_size: width * 2 ** (depths.length - 1),
      window_size: window,
      mlp_ratio: mlpRatio,
      use_absolute_embeddings: false,
    };
  }
  const { width, depth, heads, mlpRatio, pooling, distilled = false } = config;
  if (pooling === 'mean') throw noPlace('hugging-face', 'fc_norm.weight');
  const { distilledHead = distilled } = config;
  const deit = distilledHead
    ? 'DeiTForImageClassificationWithTeacher'
    : 'DeiTForImageClassification';
  return {
    architectures: [distilled ? deit : 'ViTForImageClassification'],
    model_type: distilled ? 'deit' : 'vit',
    ...shared,
    hidden_size: width,
    num_hidden_layers: depth,
    num_attention_heads: heads,
    intermediate_size: Math.round(width * mlpRatio),
  };
}

function noPlace(naming: string, parameter: string): ConfigError {
  return new ConfigError({
    where: `names of ${naming}`,
    expected: 'a model that the library has',
    got: `one with ${parameter}`,
    todo: 'Export to ONNX, or keep the file as Thimble saves it (timm names)',
  });
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
