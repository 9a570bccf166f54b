/** A Swin transformer in a few words. */
import type { SwinConfig } from './model.js';

/** Letters of the published sizes, by width and blocks. */
const SIZES: Readonly<Record<string, string | undefined>> = {
  '96:2,2,6,2': 'T',
  '96:2,2,18,2': 'S',
  '128:2,2,18,2': 'B',
  '192:2,2,18,2': 'L',
};

/** `Swin-T, window 7` */
export function swinDescribe({ width, depths, window }: SwinConfig): string {
  const blocks = depths.join();
  const size = SIZES[`${String(width)}:${blocks}`] ?? `${String(width)} wide, ${blocks} blocks`;
  return `Swin-${size}, window ${String(window)}`;
}
