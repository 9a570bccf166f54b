/**
 * Vision transformer (pre-norm), with the parameter names of timm.
 *
 * Shapes: images [B, C, S, S]; tokens [B, N, D] with N = (S/p)² patches, plus one with a class token.
 * Pooling `token`: the class token's row goes through `norm` into `head`. Pooling `mean`: the mean of the
 * patch tokens goes through `fc_norm` into `head`, and there is no `norm` (timm's global_pool='avg').
 *
 * `distilled` (DeiT): a second token, `dist_token`, behind the class token, with a classifier of its own,
 * `head_dist`. Logits are the mean of both classifiers', in training too: without a teacher the loss is
 * the cross-entropy of the mean. `distilledHead: false` leaves the second classifier out: the token takes
 * part in attention only (DeiTForImageClassification of Hugging Face).
 * Known limits: square images, no dropout or stochastic depth, no distillation loss.
 *
 * Reference: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021; Touvron et al., Training
 * data-efficient image transformers & distillation through attention, ICML 2021.
 */
import { ConfigError } from '../../errors.js';
import type { ModelGraph, Value } from '../../ir/graph.js';
import { f32, i32 } from '../../ir/types.js';
import { layerNorm, linear, patchEmbed, transformerBlock } from '../../nn/layers.js';
import { add } from '../../ops/add.js';
import { GraphBuilder } from '../../ops/builder.js';
import { concatTokens } from '../../ops/concat-tokens.js';
import { meanTokens } from '../../ops/mean-tokens.js';
import { reshaped } from '../../ops/reshape.js';
import { scale } from '../../ops/scale.js';
import { sliceTokens } from '../../ops/slice-tokens.js';
import { softmaxCrossEntropy } from '../../ops/softmax-cross-entropy.js';
import {
  objectOf,
  oneOf,
  optional,
  readValue,
  refined,
  truth,
  type Place,
  type Reader,
} from '../../schema/index.js';
import { imagesOf } from '../images.js';
import type { BuildOptions } from '../options.js';
import {
  BLOCKS,
  CHANNELS,
  CLASSES,
  HEADS,
  IMAGE_SIZE,
  LAYER_NORM_EPS,
  MAX_GRID,
  MLP_RATIO,
  PATCH,
  WIDTH,
} from '../sizes.js';

/** A vision transformer: attention among all patches of an image. */
export interface VitConfig {
  readonly family: 'vit';
  /** Side of the square input in pixels; a multiple of `patch`. */
  readonly imageSize: number;
  readonly patch: number;
  readonly channels: number;
  /** D, a multiple of `heads`. */
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Hidden units of the MLP as a multiple of the width. */
  readonly mlpRatio: number;
  readonly classes: number;
  readonly pooling: 'token' | 'mean';
  readonly classToken: boolean;
  /** A distillation token behind the class token; pooling `token` only. Default false. */
  readonly distilled?: boolean;
  /** Whether the distillation token has a classifier, `head_dist`; default `distilled`. */
  readonly distilledHead?: boolean;
  readonly layerNormEps: number;
}

/** A configuration that can be built. */
export const vitReader: Reader<VitConfig> = refined(
  objectOf<VitConfig>({
    family: oneOf('vit'),
    imageSize: IMAGE_SIZE,
    patch: PATCH,
    channels: CHANNELS,
    width: WIDTH,
    depth: BLOCKS,
    heads: HEADS,
    mlpRatio: MLP_RATIO,
    classes: CLASSES,
    pooling: oneOf('token', 'mean'),
    classToken: truth,
    distilled: optional(truth),
    distilledHead: optional(truth),
    layerNormEps: LAYER_NORM_EPS,
  }),
  checkTogether,
);

/** What holds of several fields. */
function checkTogether(config: VitConfig, place: Place): void {
  const { imageSize, patch, width, heads, mlpRatio, classToken, pooling } = config;
  const { distilled = false, distilledHead = distilled } = config;
  const check = (holds: boolean, key: keyof VitConfig, expected: string, got: unknown) => {
    if (!holds) throw place.at(key).error(expected, String(got));
  };
  const size = vitImageSizeRule(config);
  check(size === null, 'imageSize', size ?? '', imageSize);
  const most = `at most ${String(MAX_GRID)} patches along a side`;
  check(imageSize <= MAX_GRID * patch, 'imageSize', most, imageSize / patch);
  check(width % heads === 0, 'width', `a multiple of the ${String(heads)} heads`, width);
  check(Math.round(width * mlpRatio) >= 1, 'mlpRatio', 'at least one hidden unit', mlpRatio);
  check(classToken || pooling === 'mean', 'pooling', 'mean without a class token', pooling);
  check(!distilled || pooling === 'token', 'pooling', 'token with a distillation token', pooling);
  check(distilled || !distilledHead, 'distilledHead', 'false without a distillation token', true);
}

const VIT = { file: 'vit', error: ConfigError, todo: 'Change the model configuration' };

/** Standard deviation of position embedding and class token at the start. */
const EMBEDDING_STD = 0.02;
const CLASS_TOKEN_STD = 1e-6;

/**
 * The forward graph of a ViT: inputs `images` [B, C, S, S] and `labels` [B], outputs `logits` [B, classes]
 * and `loss` (mean cross-entropy). Throws ConfigError for a configuration that cannot be built.
 *
 * @example
 * const model = vit({ ...VIT_PRESETS['vit-micro'], classes: 10 }, { batch: 32 });
 */
export function vit(config: VitConfig, options: BuildOptions): ModelGraph {
  readValue(config, vitReader, VIT);
  const { patch, width, layerNormEps: eps } = config;
  const { batch, smoothing = 0 } = options;
  const builder = new GraphBuilder();
  const images = imagesOf(builder, config, options);
  const labels = builder.input('labels', i32(batch));
  let x = embed(builder, config, patchEmbed(builder, 'patch_embed', images, patch, width));
  const blocks: string[] = [];
  for (let index = 0; index < config.depth; index++) {
    const name = `blocks.${String(index)}`;
    const { heads, mlpRatio } = config;
    x = transformerBlock(builder, name, x, { heads, hidden: Math.round(width * mlpRatio), eps });
    blocks.push(`${name}.`);
  }
  const logits = classify(builder, config, x);
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing }, 'loss');
  return {
    graph: builder.build({ logits, loss }),
    blocks,
    positions: [{ name: 'pos_embed', prefix: prefixTokens(config) }],
    tail: ['norm.', 'fc_norm.'],
    head: hasTwoHeads(config) ? 'head' : 'head.', // head.weight and head_dist.weight
  };
}

/** What `imageSize` has to be where it is not; null when it fits. */
export function vitImageSizeRule({ imageSize, patch }: VitConfig): string | null {
  return imageSize % patch === 0 ? null : `a multiple of the patch ${String(patch)}`;
}

/** Number of tokens N that the blocks see. */
export function tokenCount(config: VitConfig): number {
  return (config.imageSize / config.patch) ** 2 + prefixTokens(config);
}

/** Number of tokens in front of the patches. */
export function prefixTokens({ classToken, distilled = false }: VitConfig): number {
  return (classToken ? 1 : 0) + (distilled ? 1 : 0);
}

function hasTwoHeads({ distilled = false, distilledHead = distilled }: VitConfig): boolean {
  return distilledHead;
}

/** Class token (and distillation token behind it) in front, position embedding on top. */
function embed(builder: GraphBuilder, config: VitConfig, patches: Value): Value {
  const { width } = config;
  let x = patches;
  const prepend = (parameter: string, std: number, name: string) => {
    const initial = { kind: 'normal', std } as const;
    const token = builder.parameter(parameter, f32(1, 1, width), { initial, decay: false });
    x = builder.emit(concatTokens, { a: token, b: x }, {}, name).y;
  };
  if (config.distilled) prepend('dist_token', EMBEDDING_STD, 'distillation_token');
  if (config.classToken) prepend('cls_token', CLASS_TOKEN_STD, 'class_token');
  const position = builder.parameter('pos_embed', f32(1, tokenCount(config), width), {
    initial: { kind: 'truncatedNormal', std: EMBEDDING_STD },
    decay: false,
  });
  return builder.emit(add, { a: x, b: position }, {}, 'position').y;
}

/** [B, N, D] → logits [B, classes]. */
function classify(builder: GraphBuilder, config: VitConfig, x: Value): Value {
  const { classes } = config;
  if (!hasTwoHeads(config)) return linear(builder, 'head', pool(builder, config, x), classes);
  const pair = builder.emit(sliceTokens, { x }, { start: 0, count: 2 }, 'pool').y;
  const features = layerNorm(builder, 'norm', pair, config.layerNormEps); // [B, 2, D]
  const a = linear(builder, 'head', tokenAt(builder, features, 0, 'class_feature'), classes);
  const distilled = tokenAt(builder, features, 1, 'distillation_feature');
  const b = linear(builder, 'head_dist', distilled, classes);
  const sum = builder.emit(add, { a, b }, {}, 'sum').y;
  return builder.emit(scale, { x: sum }, { factor: 0.5 }, 'mean').y;
}

/** [B, N, D] → [B, D] */
function tokenAt(builder: GraphBuilder, x: Value, start: number, name: string): Value {
  const [batch, , width] = x.type.shape;
  const token = builder.emit(sliceTokens, { x }, { start, count: 1 }, name).y;
  return reshaped(builder, token, [batch, width]);
}

/** [B, N, D] → [B, D]. The norm is taken after the class token is picked: it acts on each token alone. */
function pool(builder: GraphBuilder, config: VitConfig, x: Value): Value {
  const tokens = x.type.shape[1];
  if (config.pooling === 'token') {
    return layerNorm(builder, 'norm', tokenAt(builder, x, 0, 'pool'), config.layerNormEps);
  }
  const start = config.classToken ? 1 : 0;
  const patches =
    start === 0
      ? x
      : builder.emit(sliceTokens, { x }, { start, count: tokens - start }, 'patches').y;
  const mean = builder.emit(meanTokens, { x: patches }, {}, 'pool').y;
  return layerNorm(builder, 'fc_norm', mean, config.layerNormEps);
}
