/**
 * Swin transformer, with the parameter names of timm (swin_tiny_patch4_window7_224 and its like). Other names,
 * timm's of before version 0.9 among them, are those of `checkpoints/layouts.ts`.
 *
 * Legend: B batch, S image side, p patch, C width of the first stage, w window. Stage s = 0, 1, … has
 * tokens [B, R, R, 2ˢC] with R = S/(p·2ˢ), and `depths[s]` blocks; blocks take turns without and with a
 * shift of ⌊w/2⌋. From the second stage on, patch merging comes first (`layers.s.downsample`); it belongs
 * to the stage's first block: the two are frozen and trained together. Where R ≤ w the window is the whole
 * stage and nothing is shifted.
 *
 * Linears of an MLP see [B, R, R, 2ˢC]; those of attention see windows [B·R²/w², w², 2ˢC].
 * Known limits: square images that windows tile exactly (timm pads others), no dropout or stochastic
 * depth.
 *
 * Reference: Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV
 * 2021 (arXiv:2103.14030).
 */
import { ConfigError } from '../../errors.js';
import type { ModelGraph, Value } from '../../ir/graph.js';
import { i32 } from '../../ir/types.js';
import { layerNorm, linear, patchEmbed } from '../../nn/layers.js';
import { patchMerging, windowBlock } from '../../nn/windows.js';
import { GraphBuilder } from '../../ops/builder.js';
import { meanTokens } from '../../ops/mean-tokens.js';
import { reshaped } from '../../ops/reshape.js';
import { softmaxCrossEntropy } from '../../ops/softmax-cross-entropy.js';
import {
  objectOf,
  oneOf,
  readValue,
  refined,
  type Place,
  type Reader,
} from '../../schema/index.js';
import { imagesOf } from '../images.js';
import type { BuildOptions } from '../options.js';
import {
  CHANNELS,
  CLASSES,
  DEPTHS,
  IMAGE_SIZE,
  LAYER_NORM_EPS,
  MAX_BLOCKS,
  MAX_IMAGE_SIZE,
  MAX_WIDTH,
  MLP_RATIO,
  PATCH,
  STAGE_HEADS,
  WIDTH,
  WINDOW,
} from '../sizes.js';

/** A Swin transformer: attention within windows that are shifted in every other block. */
export interface SwinConfig {
  readonly family: 'swin';
  /** Side of the square input in pixels. */
  readonly imageSize: number;
  readonly patch: number;
  readonly channels: number;
  /** C, the width of the first stage; each stage has twice the width of the one before. */
  readonly width: number;
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Attention heads of each stage; divides its width. */
  readonly heads: readonly number[];
  /** Side of an attention window in tokens. */
  readonly window: number;
  /** Hidden units of the MLP as a multiple of the width. */
  readonly mlpRatio: number;
  readonly classes: number;
  readonly layerNormEps: number;
}

/** A configuration that can be built. */
export const swinReader: Reader<SwinConfig> = refined(
  objectOf<SwinConfig>({
    family: oneOf('swin'),
    imageSize: IMAGE_SIZE,
    patch: PATCH,
    channels: CHANNELS,
    width: WIDTH,
    depths: DEPTHS,
    heads: STAGE_HEADS,
    window: WINDOW,
    mlpRatio: MLP_RATIO,
    classes: CLASSES,
    layerNormEps: LAYER_NORM_EPS,
  }),
  checkTogether,
);

/** What holds of several fields. */
function checkTogether(config: SwinConfig, place: Place): void {
  const { imageSize, width, depths, heads, mlpRatio } = config;
  const check = (holds: boolean, key: keyof SwinConfig, expected: string, got: number) => {
    if (!holds) throw place.at(key).error(expected, String(got));
  };
  const blocks = depths.reduce((sum, depth) => sum + depth, 0);
  check(blocks <= MAX_BLOCKS, 'depths', `at most ${String(MAX_BLOCKS)} blocks`, blocks);
  const stages = depths.length;
  check(
    heads.length === stages,
    'heads',
    `${String(stages)} numbers, one for each stage`,
    heads.length,
  );
  const last = widthOf(config, stages - 1);
  check(last <= MAX_WIDTH, 'width', `at most ${String(MAX_WIDTH)} in the last stage`, last);
  heads.forEach((count, stage) => {
    const rule = `a width whose stage ${String(stage)} divides into ${String(count)} heads`;
    check(widthOf(config, stage) % count === 0, 'width', rule, width);
  });
  check(Math.floor(width * mlpRatio) >= 1, 'mlpRatio', 'at least one hidden unit', mlpRatio);
  const size = swinImageSizeRule(config);
  check(size === null, 'imageSize', size ?? '', imageSize);
}

const SWIN = { file: 'swin', error: ConfigError, todo: 'Change the model configuration' };

/**
 * The forward graph of a Swin transformer: inputs `images` [B, 3, S, S] and `labels` [B], outputs `logits`
 * [B, classes] and `loss` (mean cross-entropy). Throws ConfigError for a configuration that cannot be built.
 *
 * @example
 * const model = swin({ ...SWIN_PRESETS['swin-tiny'], classes: 10 }, { batch: 8 });
 */
export function swin(config: SwinConfig, options: BuildOptions): ModelGraph {
  readValue(config, swinReader, SWIN);
  const { classes, depths } = config;
  const { batch, smoothing = 0 } = options;
  const builder = new GraphBuilder();
  const images = imagesOf(builder, config, options);
  const labels = builder.input('labels', i32(batch));
  const blocks: string[] = [];
  const downsampling: Record<string, string> = {};
  let x = embed(builder, config, images);
  for (let stage = 0; stage < depths.length; stage++) {
    const name = `layers.${String(stage)}`;
    x = swinStage(builder, config, stage, x);
    if (stage > 0) downsampling[`${name}.blocks.0.`] = `${name}.downsample.`;
    for (let index = 0; index < depths[stage]; index++) {
      blocks.push(`${name}.blocks.${String(index)}.`);
    }
  }
  const logits = linear(builder, 'head.fc', pool(builder, config, x), classes);
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing }, 'loss');
  return {
    graph: builder.build({ logits, loss }),
    blocks,
    downsampling,
    tail: ['norm.'],
    head: 'head.',
  };
}

/** What `imageSize` has to be where it is not; null when it fits. */
export function swinImageSizeRule(config: SwinConfig): string | null {
  const { imageSize, patch, window, depths } = config;
  if (fits(config)) return null;
  let next = imageSize - (imageSize % patch) + patch;
  while (next <= MAX_IMAGE_SIZE && !fits({ ...config, imageSize: next })) next += patch;
  const stages = depths.length === 1 ? 'the stage' : `all ${String(depths.length)} stages`;
  const found = next <= MAX_IMAGE_SIZE ? `the next is ${String(next)}` : 'no larger one does';
  return `a size that windows of ${String(window)} patches tile in ${stages} (${found})`;
}

/** Images [B, C, S, S] → tokens [B, R, R, C], normed. */
function embed(builder: GraphBuilder, config: SwinConfig, images: Value): Value {
  const { imageSize, patch, width, layerNormEps } = config;
  const side = imageSize / patch;
  const patches = patchEmbed(builder, 'patch_embed', images, patch, width);
  const grid = reshaped(builder, patches, [images.type.shape[0], side, side, width]);
  return layerNorm(builder, 'patch_embed.norm', grid, layerNormEps);
}

function swinStage(builder: GraphBuilder, config: SwinConfig, stage: number, input: Value): Value {
  const { heads, depths, mlpRatio, layerNormEps: eps } = config;
  const width = widthOf(config, stage);
  const side = sideOf(config, stage);
  const window = Math.min(config.window, side);
  const hidden = Math.floor(width * mlpRatio);
  return builder.scope(`layers.${String(stage)}`, () => {
    let x = stage === 0 ? input : patchMerging(builder, 'downsample', input, { width, eps });
    for (let index = 0; index < depths[stage]; index++) {
      const shift = index % 2 === 0 || window === side ? 0 : Math.floor(window / 2);
      const options = { heads: heads[stage], window, shift, hidden, eps };
      x = windowBlock(builder, `blocks.${String(index)}`, x, options);
    }
    return x;
  });
}

/** [B, R, R, D] → [B, D]: the mean of the normed tokens. */
function pool(builder: GraphBuilder, config: SwinConfig, x: Value): Value {
  const [batch, height, columns, width] = x.type.shape;
  const normed = layerNorm(builder, 'norm', x, config.layerNormEps);
  const tokens = reshaped(builder, normed, [batch, height * columns, width]);
  return builder.emit(meanTokens, { x: tokens }, {}, 'pool').y;
}

function widthOf({ width }: SwinConfig, stage: number): number {
  return width * 2 ** stage;
}

/** Tokens along a side of a stage; a fraction where the image does not fit. */
function sideOf({ imageSize, patch }: SwinConfig, stage: number): number {
  return imageSize / (patch * 2 ** stage);
}

/** Whether every stage is whole and tiled by windows. */
function fits(config: SwinConfig): boolean {
  return config.depths.every((_, stage) => {
    const side = sideOf(config, stage);
    return Number.isInteger(side) && side % Math.min(config.window, side) === 0;
  });
}
