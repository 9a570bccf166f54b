/**
 * What all configurations have, and readers of the sizes that models have in common. The bounds are far beyond
 * every published model, and such that whatever passes can be built and planned: 256 blocks take seconds to
 * compile, not minutes.
 */
import { list, number, whole } from '../schema/index.js';

/** What the configurations of all families have. */
export interface FamilyConfig {
  /** The key of the family in FAMILIES. */
  readonly family: string;
  /** Side of the square input in pixels. */
  readonly imageSize: number;
  readonly channels: number;
  readonly classes: number;
}

/** Pixels along the side of an image. */
export const MAX_IMAGE_SIZE = 8192;
/** Patches along the side of an image that attend to one another. */
export const MAX_GRID = 512;
export const MAX_WIDTH = 65_536;
export const MAX_BLOCKS = 256;
const MAX_STAGES = 8;

export const IMAGE_SIZE = whole({ most: MAX_IMAGE_SIZE });
export const PATCH = whole({ most: MAX_IMAGE_SIZE });
export const CHANNELS = whole({ most: 64 });
export const WIDTH = whole({ most: MAX_WIDTH });
export const BLOCKS = whole({ most: MAX_BLOCKS });
export const HEADS = whole({ most: 4096 });
export const WINDOW = whole({ most: MAX_IMAGE_SIZE });
export const CLASSES = whole({ most: 1_000_000 });
export const MLP_RATIO = number({ above: 0, most: 64 });
/** 1/√ε is a float32 for both ends. */
export const LAYER_NORM_EPS = number({ least: 1e-30, most: 1 });
export const DEPTHS = list(BLOCKS, { least: 1, most: MAX_STAGES });
export const STAGE_HEADS = list(HEADS, { least: 1, most: MAX_STAGES });
