/** The configuration of a residual network, and its reader. */
import {
  list,
  objectOf,
  oneOf,
  refined,
  whole,
  type Place,
  type Reader,
} from '../../schema/index.js';
import { BATCH_NORM, type BatchNormConfig } from '../batch-norm.js';
import { CHANNELS, CLASSES, DEPTHS, IMAGE_SIZE, MAX_BLOCKS, WIDTH } from '../sizes.js';

/** ResNets, and those for small images. */
export interface ResNetConfig {
  readonly family: 'resnet';
  /** Side of the square input in pixels. */
  readonly imageSize: number;
  readonly channels: number;
  readonly classes: number;
  readonly batchNorm: BatchNormConfig;
  /** `large`: 7 × 7 taps with stride 2, then a max pool with stride 2; `small`: 3 × 3 taps with stride 1. */
  readonly stem: 'large' | 'small';
  /** Channels behind the stem. */
  readonly stemWidth: number;
  /** Two convolutions of 3 × 3, or 1 × 1, 3 × 3 and 1 × 1 with four times the width behind. */
  readonly block: 'basic' | 'bottleneck';
  /** Blocks of each stage; each stage but the first halves the side. */
  readonly depths: readonly number[];
  /** Channels of the 3 × 3 convolutions of each stage. */
  readonly widths: readonly number[];
}

/** How many times as many channels a bottleneck has behind it. */
export const BOTTLENECK = 4;

/** A configuration that can be built. */
export const resNetReader: Reader<ResNetConfig> = refined(
  objectOf<ResNetConfig>({
    family: oneOf('resnet'),
    imageSize: IMAGE_SIZE,
    channels: CHANNELS,
    classes: CLASSES,
    batchNorm: BATCH_NORM,
    stem: oneOf('large', 'small'),
    stemWidth: WIDTH,
    block: oneOf('basic', 'bottleneck'),
    depths: DEPTHS,
    widths: list(whole({ most: 16_384 }), { least: 1, most: 8 }),
  }),
  checkTogether,
);

/** What holds of several fields. */
function checkTogether(config: ResNetConfig, place: Place): void {
  const { depths, widths, imageSize } = config;
  const blocks = depths.reduce((sum, depth) => sum + depth, 0);
  if (blocks > MAX_BLOCKS) {
    throw place.at('depths').error(`at most ${String(MAX_BLOCKS)} blocks`, String(blocks));
  }
  if (widths.length !== depths.length) {
    const expected = `${String(depths.length)} numbers, one for each stage`;
    throw place.at('widths').error(expected, String(widths.length));
  }
  const rule = resNetImageSizeRule(config);
  if (rule !== null) throw place.at('imageSize').error(rule, String(imageSize));
}

/** What `imageSize` has to be where it is not; null when it fits. */
export function resNetImageSizeRule({ imageSize, stem, depths }: ResNetConfig): string | null {
  const stride = (stem === 'large' ? 4 : 1) * 2 ** (depths.length - 1);
  if (imageSize >= stride) return null;
  return `at least the stride of the network, ${String(stride)} pixels`;
}
