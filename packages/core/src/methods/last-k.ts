/**
 * last-k: the last K blocks, a downsampling in front of one of them, the final norm and the
 * classifier train; what is below them runs forward only and saves nothing.
 *
 * Closed form: K·BN((8 + 2R)D + H + 4) + B(2D + 2), that is full training's with K blocks for L and
 * without the patches. Neutral point: none, since the embedding below block 0 stays frozen even at
 * K = depth.
 */
import { ConfigError } from '../errors.js';
import type { Method } from './method.js';
import { trainOnly } from './trainable.js';

export interface LastKConfig {
  /** Blocks that train; at least 1, at most the model's depth. */
  readonly blocks: number;
}

const DEFAULT_BLOCKS = 2;

export const lastK: Method<LastKConfig> = {
  name: 'last-k',
  summary: `train the last K blocks, the final norm and the classifier (default K = ${String(DEFAULT_BLOCKS)})`,
  usage: 'last-k=K',
  parse: (text) => {
    const blocks = text === undefined ? DEFAULT_BLOCKS : /^\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(blocks) && blocks >= 1) return { blocks };
    throw new ConfigError({
      where: 'method last-k',
      expected: 'a whole number of blocks ≥ 1, as in last-k=4',
      got: `"${text ?? ''}"`,
      todo: 'Change the number; method head trains no block at all',
      options: ['method'],
    });
  },
  print: ({ blocks }) => `last-k=${String(blocks)}`,
  forward: (model, { blocks }) => {
    const depth = model.blocks.length;
    if (blocks > depth) {
      throw new ConfigError({
        where: 'method last-k',
        expected: `at most ${String(depth)} blocks, the depth of the model`,
        got: String(blocks),
        todo: 'Lower K, or use method full',
        options: ['method'],
      });
    }
    const last = model.blocks.slice(depth - blocks);
    const between = last.flatMap((block) => model.downsampling?.[block] ?? []);
    const prefixes = [...last, ...between, ...model.tail, model.head];
    return trainOnly(model, (name) => prefixes.some((prefix) => name.startsWith(prefix)));
  },
  neutral: () => null,
};
