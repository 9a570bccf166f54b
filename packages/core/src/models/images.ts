/** The input of every model: images, as numbers or as levels that the model normalises. */
import { ConfigError } from '../errors.js';
import { levelTable } from '../data/levels.js';
import type { Value } from '../ir/graph.js';
import { f32, i8, type Shape } from '../ir/types.js';
import type { GraphBuilder } from '../ops/builder.js';
import { LEVEL_COUNT, normalise } from '../ops/normalise.js';
import type { BuildOptions } from './options.js';

/** Declares the input `images` [B, C, S, S] and returns its numbers. Throws ConfigError for other channels. */
export function imagesOf(
  builder: GraphBuilder,
  { channels, imageSize }: { readonly channels: number; readonly imageSize: number },
  { batch, levels }: BuildOptions,
): Value {
  const shape: Shape = [batch, channels, imageSize, imageSize];
  if (!levels) return builder.input('images', f32(...shape));
  if (levels.mean.length !== channels || levels.std.length !== channels) {
    throw new ConfigError({
      where: 'levels',
      expected: `a mean and a standard deviation for each of ${String(channels)} channels`,
      got: `${String(levels.mean.length)} and ${String(levels.std.length)}`,
      todo: 'Give the preprocessing of this model',
    });
  }
  const table = builder.table('images.levels', f32(channels, LEVEL_COUNT), levelTable(levels));
  const x = builder.input('images', i8(...shape));
  return builder.emit(normalise, { x, table }, {}, 'images.numbers').y;
}
