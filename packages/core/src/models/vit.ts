/**
 * Vision transformer (pre-norm), with the parameter names of timm.
 *
 * Shapes: images [B, C, S, S]; tokens [B, N, D] with N = (S/p)² patches, plus one with a class token.
 * Pooling `token`: the class token's row goes through `norm` into `head`. Pooling `mean`: the mean of the
 * patch tokens goes through `fc_norm` into `head`, and there is no `norm` (timm's global_pool='avg').
 * Known limits: square images, no dropout or stochastic depth, no distillation token.
 *
 * Reference: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021.
 */
import { ConfigError } from '../errors.js';
import type { ModelGraph, Value } from '../ir/graph.js';
import { f32, i32 } from '../ir/types.js';
import { layerNorm, linear, patchEmbed, transformerBlock } from '../nn/layers.js';
import { add } from '../ops/add.js';
import { GraphBuilder } from '../ops/builder.js';
import { concatTokens } from '../ops/concat-tokens.js';
import { meanTokens } from '../ops/mean-tokens.js';
import { reshaped } from '../ops/reshape.js';
import { sliceTokens } from '../ops/slice-tokens.js';
import { softmaxCrossEntropy } from '../ops/softmax-cross-entropy.js';
import type { BuildOptions } from './options.js';

export interface VitConfig {
  /** Which builder reads this configuration; absent in records of runs before there were others. */
  readonly family?: 'vit';
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
  readonly layerNormEps: number;
}

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
  checkConfig(config);
  const { imageSize, channels, patch, width, classes, layerNormEps: eps } = config;
  const { batch, smoothing = 0 } = options;
  const builder = new GraphBuilder();
  const images = builder.input('images', f32(batch, channels, imageSize, imageSize));
  const labels = builder.input('labels', i32(batch));
  let x = embed(builder, config, patchEmbed(builder, 'patch_embed', images, patch, width));
  const blocks: string[] = [];
  for (let index = 0; index < config.depth; index++) {
    const name = `blocks.${String(index)}`;
    const { heads, mlpRatio } = config;
    x = transformerBlock(builder, name, x, { heads, hidden: Math.round(width * mlpRatio), eps });
    blocks.push(`${name}.`);
  }
  const logits = linear(builder, 'head', pool(builder, config, x), classes);
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing }, 'loss');
  return {
    graph: builder.build({ logits, loss }),
    blocks,
    tail: ['norm.', 'fc_norm.'],
    head: 'head.',
  };
}

/** What `imageSize` has to be where it is not; null when it fits. */
export function vitImageSizeRule({ imageSize, patch }: VitConfig): string | null {
  return imageSize % patch === 0 ? null : `a multiple of the patch ${String(patch)}`;
}

/** Number of tokens N that the blocks see. */
export function tokenCount(config: VitConfig): number {
  return (config.imageSize / config.patch) ** 2 + (config.classToken ? 1 : 0);
}

/** Class token in front, position embedding on top. */
function embed(builder: GraphBuilder, config: VitConfig, patches: Value): Value {
  const { width } = config;
  let x = patches;
  if (config.classToken) {
    const initial = { kind: 'normal', std: CLASS_TOKEN_STD } as const;
    const token = builder.parameter('cls_token', f32(1, 1, width), { initial, decay: false });
    x = builder.emit(concatTokens, { a: token, b: x }, {}, 'class_token').y;
  }
  const position = builder.parameter('pos_embed', f32(1, tokenCount(config), width), {
    initial: { kind: 'truncatedNormal', std: EMBEDDING_STD },
    decay: false,
  });
  return builder.emit(add, { a: x, b: position }, {}, 'position').y;
}

/** [B, N, D] → [B, D]. The norm is taken after the class token is picked: it acts on each token alone. */
function pool(builder: GraphBuilder, config: VitConfig, x: Value): Value {
  const [batch, tokens, width] = x.type.shape;
  if (config.pooling === 'token') {
    const token = builder.emit(sliceTokens, { x }, { start: 0, count: 1 }, 'pool').y;
    const flat = reshaped(builder, token, [batch, width]);
    return layerNorm(builder, 'norm', flat, config.layerNormEps);
  }
  const start = config.classToken ? 1 : 0;
  const patches =
    start === 0
      ? x
      : builder.emit(sliceTokens, { x }, { start, count: tokens - start }, 'patches').y;
  const mean = builder.emit(meanTokens, { x: patches }, {}, 'pool').y;
  return layerNorm(builder, 'fc_norm', mean, config.layerNormEps);
}

function checkConfig(config: VitConfig): void {
  const { imageSize, width, heads, classToken, pooling } = config;
  for (const key of [
    'imageSize',
    'patch',
    'channels',
    'width',
    'depth',
    'heads',
    'classes',
  ] as const) {
    const value = config[key];
    check(Number.isSafeInteger(value) && value >= 1, key, 'a whole number ≥ 1', String(value));
  }
  const size = vitImageSizeRule(config);
  check(size === null, 'imageSize', size ?? '', String(imageSize));
  check(width % heads === 0, 'width', `a multiple of the ${String(heads)} heads`, String(width));
  check(config.layerNormEps > 0, 'layerNormEps', 'a number > 0', String(config.layerNormEps));
  check(config.mlpRatio > 0, 'mlpRatio', 'a number > 0', String(config.mlpRatio));
  check(classToken || pooling === 'mean', 'pooling', 'mean without a class token', pooling);
}

function check(condition: boolean, option: string, expected: string, got: string): void {
  if (condition) return;
  throw new ConfigError({
    where: `vit ${option}`,
    expected,
    got,
    todo: 'Change the model configuration',
  });
}
