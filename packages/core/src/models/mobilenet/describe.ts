/** A network of inverted residuals in a few words. */
import { hasStructure } from './names.js';
import { MOBILENET_PRESETS } from './presets.js';
import type { MobileNetConfig } from './schema.js';

const TITLES: Readonly<Record<keyof typeof MOBILENET_PRESETS, string>> = {
  'mobilenet-v2': 'MobileNetV2',
  'mobilenet-v3-large': 'MobileNetV3-Large',
  'mobilenet-v3-small': 'MobileNetV3-Small',
  'efficientnet-b0': 'EfficientNet-B0',
  'efficientnet-lite0': 'EfficientNet-Lite0',
};

/** `MobileNetV2, batch norm folded`; the number of blocks where it is no published one. */
export function mobileNetDescribe(config: MobileNetConfig): string {
  const { stages, batchNorm, stem, padding } = config;
  const names = Object.keys(TITLES) as (keyof typeof TITLES)[];
  const found = names.find((name) => hasStructure(config, MOBILENET_PRESETS[name]));
  const blocks = stages.flat();
  const isUsual = found !== undefined && lastOf(config) === lastOf(MOBILENET_PRESETS[found]);
  return [
    found === undefined ? `${String(blocks.length)} inverted residual blocks` : TITLES[found],
    ...(isUsual ? [] : [`${String(stem.width)} to ${String(lastOf(config))} channels`]),
    ...(padding === 'same' ? ["TensorFlow's padding"] : []),
    ...(batchNorm ? [] : ['batch norm folded']),
  ].join(', ');
}

/** Channels of the last block. */
function lastOf({ stages }: MobileNetConfig): number {
  return stages.at(-1)?.at(-1)?.width ?? 0;
}
