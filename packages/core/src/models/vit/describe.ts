/** A ViT in a few words. */
import type { VitConfig } from './model.js';

/** Letters of the published sizes, by width. */
export const VIT_SIZES: Readonly<Record<number, string | undefined>> = {
  192: 'Ti',
  384: 'S',
  768: 'B',
  1024: 'L',
  1280: 'H',
};

/** `ViT-Ti/16`, `DeiT-16x2/4 with distillation token` */
export function vitDescribe(config: VitConfig): string {
  const { width, patch, depth, distilled = false, pooling } = config;
  const known = depth === (width >= 1280 ? 32 : width >= 1024 ? 24 : 12) && VIT_SIZES[width];
  const size = known || `${String(width)}x${String(depth)}`;
  const name = `${distilled ? 'DeiT' : 'ViT'}-${size}/${String(patch)}`;
  const tokens = distilled ? ' with distillation token' : '';
  return `${name}${tokens}${pooling === 'mean' ? ' with mean pooling' : ''}`;
}
