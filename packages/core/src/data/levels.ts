/**
 * Pictures as bytes: what a batch holds where the model normalises its images itself (ops/normalise.ts).
 */
import { LEVEL_OFFSET } from '../ir/host.js';
import type { RawImage } from './image.js';

/** Images of a batch, [B, C, S, S]: the numbers that a model reads, or levels less 128. */
export type Images = Float32Array | Int8Array;

/** How levels become numbers: (level / 255 − mean) / std, for each channel. */
export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** out[c, level] = the number of each of the 256 levels, with the bits of `normalizeInto`. */
export function levelTable({ mean, std }: Normalisation): Float32Array<ArrayBuffer> {
  const table = new Float32Array(mean.length * LEVELS);
  mean.forEach((middle, channel) => {
    for (let level = 0; level < LEVELS; level++) {
      table[channel * LEVELS + level] = level * (1 / (255 * std[channel])) - middle / std[channel];
    }
  });
  return table;
}

/** out[c, y, x] = level − 128. */
export function levelsInto({ data }: RawImage, out: Int8Array): void {
  const pixels = data.length / CHANNELS;
  for (let channel = 0; channel < CHANNELS; channel++) {
    for (let i = 0; i < pixels; i++) {
      out[channel * pixels + i] = data[i * CHANNELS + channel] - LEVEL_OFFSET;
    }
  }
}

const LEVELS = 256;
const CHANNELS = 3;
