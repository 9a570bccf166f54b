/** The configuration of a network of inverted residuals, and its reader. */
import type { Activation, ActivationKind } from '../../nn/activations.js';
import type { Padding } from '../../nn/convolution.js';
import {
  isObject,
  list,
  nullable,
  number,
  object,
  objectOf,
  oneOf,
  refined,
  whole,
  type Place,
  type Reader,
} from '../../schema/index.js';
import { BATCH_NORM, type BatchNormConfig } from '../batch-norm.js';
import { CHANNELS, CLASSES, IMAGE_SIZE, MAX_BLOCKS, WIDTH } from '../sizes.js';

/** A 1 × 1 or stem convolution: its channels, and what follows it. */
export interface MobileNetLayer {
  readonly width: number;
  readonly activation: Activation;
}

/** Squeeze-excitation behind a depthwise convolution. */
export interface MobileNetSqueeze {
  /** Channels between its two convolutions. */
  readonly width: number;
  readonly activation: ActivationKind;
  /** From 0 to 1. */
  readonly gate: ActivationKind;
}

/** An inverted residual: expand, filter channel by channel, project. */
export interface MobileNetBlock {
  /** Taps of the depthwise convolution along each side: an odd number. */
  readonly kernel: number;
  readonly stride: number;
  /** The 1 × 1 convolution in front; null: none, the depthwise convolution reads the block's input. */
  readonly expansion: MobileNetLayer | null;
  /** Behind the depthwise convolution. */
  readonly activation: Activation;
  readonly squeeze: MobileNetSqueeze | null;
  /** Channels of the result. */
  readonly width: number;
  /** Behind the projection: `none` in published models. */
  readonly projection: Activation;
}

/** MobileNetV2 and V3, EfficientNet, MCUNet, ProxylessNAS. */
export interface MobileNetConfig {
  readonly family: 'mobilenet';
  /** Side of the square input in pixels. */
  readonly imageSize: number;
  readonly channels: number;
  readonly classes: number;
  readonly padding: Padding;
  /** null: folded into the convolutions, which have a bias. */
  readonly batchNorm: BatchNormConfig | null;
  readonly stem: MobileNetLayer;
  readonly stages: readonly (readonly MobileNetBlock[])[];
  /** The 1 × 1 convolution behind the blocks; null: none. */
  readonly tail: MobileNetLayer | null;
  /** The 1 × 1 convolution with bias behind the mean of all pixels; null: none. */
  readonly features: MobileNetLayer | null;
}

const KINDS = ['none', 'relu', 'relu6', 'hard-swish', 'silu', 'hard-sigmoid', 'sigmoid'] as const;
const KIND: Reader<ActivationKind> = oneOf(...KINDS);
const BOUND = number({ least: -1e6, most: 1e6 });
const RANGE = refined(object({ low: BOUND, high: BOUND }), ({ low, high }, place) => {
  if (low >= high) throw place.error('low below high', `${String(low)} and ${String(high)}`);
});
const ACTIVATION: Reader<Activation> = (value, place) =>
  isObject(value) ? RANGE(value, place) : KIND(value, place);

const LAYER = objectOf<MobileNetLayer>({ width: WIDTH, activation: ACTIVATION });
/** Far beyond every published kernel. */
const MAX_KERNEL = 31;
const KERNEL: Reader<number> = refined(whole({ most: MAX_KERNEL }), (kernel, place) => {
  if (kernel % 2 === 0) throw place.error('an odd number of taps', String(kernel));
});

const BLOCK = objectOf<MobileNetBlock>({
  kernel: KERNEL,
  stride: whole({ most: 8 }),
  expansion: nullable(LAYER),
  activation: ACTIVATION,
  squeeze: nullable(objectOf<MobileNetSqueeze>({ width: WIDTH, activation: KIND, gate: KIND })),
  width: WIDTH,
  projection: ACTIVATION,
});

/** A configuration that can be built. */
export const mobileNetReader: Reader<MobileNetConfig> = refined(
  objectOf<MobileNetConfig>({
    family: oneOf('mobilenet'),
    imageSize: IMAGE_SIZE,
    channels: CHANNELS,
    classes: CLASSES,
    padding: oneOf('symmetric', 'same'),
    batchNorm: nullable(BATCH_NORM),
    stem: LAYER,
    stages: list(list(BLOCK, { least: 1, most: MAX_BLOCKS }), { least: 1, most: MAX_BLOCKS }),
    tail: nullable(LAYER),
    features: nullable(LAYER),
  }),
  checkTogether,
);

/** What holds of several fields. */
function checkTogether(config: MobileNetConfig, place: Place): void {
  const blocks = config.stages.flat().length;
  if (blocks > MAX_BLOCKS) {
    throw place.at('stages').error(`at most ${String(MAX_BLOCKS)} blocks`, String(blocks));
  }
  const rule = mobileNetImageSizeRule(config);
  if (rule !== null) throw place.at('imageSize').error(rule, String(config.imageSize));
}

/** Of the input pixels along a side, how many one of the last block's results stands for. */
export function strideOf({ stages }: Pick<MobileNetConfig, 'stages'>): number {
  return stages.flat().reduce((product, { stride }) => product * stride, STEM_STRIDE);
}

export const STEM_STRIDE = 2;

/** What `imageSize` has to be where it is not; null when it fits. */
export function mobileNetImageSizeRule(config: MobileNetConfig): string | null {
  const stride = strideOf(config);
  if (config.imageSize >= stride) return null;
  return `at least the stride of the network, ${String(stride)} pixels`;
}
