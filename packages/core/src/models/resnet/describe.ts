/** A residual network in a few words. */
import type { ResNetConfig } from './schema.js';

/** `ResNet-18`: the number counts convolutions and the classifier. */
export function resNetDescribe({ stem, block, depths, widths }: ResNetConfig): string {
  const blocks = depths.reduce((sum, depth) => sum + depth, 0);
  const layers = blocks * (block === 'basic' ? 2 : 3) + 2;
  const isUsual = widths.every((width, stage) => width === FIRST[stem] * 2 ** stage);
  return [
    `ResNet-${String(layers)}`,
    ...(isUsual ? [] : [`${widths.join(', ')} channels`]),
    ...(stem === 'small' ? ['for small images'] : []),
  ].join(', ');
}

/** Channels of the first stage of published networks. */
const FIRST = { large: 64, small: 16 } as const;
