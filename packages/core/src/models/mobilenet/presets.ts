/**
 * Published networks of inverted residuals; `classes` follows from the data. Their tables of blocks are written as in
 * the papers: MobileNetV2's table 2, MobileNetV3's tables 1 and 2, EfficientNet's table 1.
 */
import type { ActivationKind } from '../../nn/activations.js';
import { PYTORCH_NORM } from '../batch-norm.js';
import type { MobileNetBlock, MobileNetConfig, MobileNetLayer } from './schema.js';

const BASE = {
  family: 'mobilenet',
  imageSize: 224,
  channels: 3,
  classes: 1000,
  padding: 'symmetric',
  batchNorm: PYTORCH_NORM,
} as const;

/** A row of a table: `count` blocks, of which the first has the stride. */
type Row = readonly [expand: number, width: number, count: number, stride: number, kernel: number];

/** MobileNetV2's, the factor of expansion in front. */
const V2: readonly Row[] = [
  [1, 16, 1, 1, 3],
  [6, 24, 2, 2, 3],
  [6, 32, 3, 2, 3],
  [6, 64, 4, 2, 3],
  [6, 96, 3, 1, 3],
  [6, 160, 3, 2, 3],
  [6, 320, 1, 1, 3],
];
const B0: readonly Row[] = [
  [1, 16, 1, 1, 3],
  [6, 24, 2, 2, 3],
  [6, 40, 2, 2, 5],
  [6, 80, 3, 2, 3],
  [6, 112, 3, 1, 5],
  [6, 192, 4, 2, 5],
  [6, 320, 1, 1, 3],
];

/** @param squeeze whether blocks have squeeze-excitation, of a quarter of their input's channels */
function rows(table: readonly Row[], stem: number, kind: ActivationKind, squeeze: boolean) {
  let inputs = stem;
  return table.map(([factor, width, count, stride, kernel]) =>
    Array.from({ length: count }, (_, index): MobileNetBlock => {
      const expanded = inputs * factor;
      const reduced = Math.max(1, Math.floor(inputs / 4));
      inputs = width;
      return {
        kernel,
        stride: index === 0 ? stride : 1,
        expansion: factor === 1 ? null : { width: expanded, activation: kind },
        activation: kind,
        squeeze: squeeze ? { width: reduced, activation: kind, gate: 'sigmoid' } : null,
        width,
        projection: 'none',
      };
    }),
  );
}

function network(table: readonly Row[], kind: ActivationKind, squeeze: boolean): MobileNetConfig {
  const layer = (width: number): MobileNetLayer => ({ width, activation: kind });
  const stages = rows(table, 32, kind, squeeze);
  return { ...BASE, stem: layer(32), stages, tail: layer(1280), features: null };
}

/** A block of MobileNetV3: `true` for squeeze-excitation; R for ReLU, H for hard swish. */
type V3Row = readonly [
  kernel: number,
  expanded: number,
  width: number,
  squeeze: boolean,
  kind: 'R' | 'H',
  stride: number,
];

const LARGE: readonly (readonly V3Row[])[] = [
  [[3, 16, 16, false, 'R', 1]],
  [
    [3, 64, 24, false, 'R', 2],
    [3, 72, 24, false, 'R', 1],
  ],
  [
    [5, 72, 40, true, 'R', 2],
    [5, 120, 40, true, 'R', 1],
    [5, 120, 40, true, 'R', 1],
  ],
  [
    [3, 240, 80, false, 'H', 2],
    [3, 200, 80, false, 'H', 1],
    [3, 184, 80, false, 'H', 1],
    [3, 184, 80, false, 'H', 1],
  ],
  [
    [3, 480, 112, true, 'H', 1],
    [3, 672, 112, true, 'H', 1],
  ],
  [
    [5, 672, 160, true, 'H', 2],
    [5, 960, 160, true, 'H', 1],
    [5, 960, 160, true, 'H', 1],
  ],
];
const SMALL: readonly (readonly V3Row[])[] = [
  [[3, 16, 16, true, 'R', 2]],
  [
    [3, 72, 24, false, 'R', 2],
    [3, 88, 24, false, 'R', 1],
  ],
  [
    [5, 96, 40, true, 'H', 2],
    [5, 240, 40, true, 'H', 1],
    [5, 240, 40, true, 'H', 1],
  ],
  [
    [5, 120, 48, true, 'H', 1],
    [5, 144, 48, true, 'H', 1],
  ],
  [
    [5, 288, 96, true, 'H', 2],
    [5, 576, 96, true, 'H', 1],
    [5, 576, 96, true, 'H', 1],
  ],
];

function mobileNetV3(
  table: readonly (readonly V3Row[])[],
  tail: number,
  features: number,
): MobileNetConfig {
  const layer = (width: number): MobileNetLayer => ({ width, activation: 'hard-swish' });
  let inputs = 16;
  const block = ([kernel, expanded, width, squeeze, letter, stride]: V3Row): MobileNetBlock => {
    const activation = letter === 'R' ? 'relu' : 'hard-swish';
    const expansion = expanded === inputs ? null : ({ width: expanded, activation } as const);
    inputs = width;
    const reduced = divisible(expanded / 4);
    const gates = { width: reduced, activation: 'relu', gate: 'hard-sigmoid' } as const;
    return {
      ...{ kernel, stride, expansion, activation, width, projection: 'none' },
      squeeze: squeeze ? gates : null,
    } as const;
  };
  const stages = table.map((stage) => stage.map(block));
  return { ...BASE, stem: layer(16), stages, tail: layer(tail), features: layer(features) };
}

/** The nearest multiple of 8 that is not more than a tenth smaller. */
export function divisible(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}

/** Networks of inverted residuals of known size. */
export const MOBILENET_PRESETS: Readonly<Record<PresetName, MobileNetConfig>> = {
  'mobilenet-v2': network(V2, 'relu6', false),
  'mobilenet-v3-large': mobileNetV3(LARGE, 960, 1280),
  'mobilenet-v3-small': mobileNetV3(SMALL, 576, 1024),
  'efficientnet-b0': network(B0, 'silu', true),
  'efficientnet-lite0': network(B0, 'relu6', false),
};

type PresetName =
  | 'mobilenet-v2'
  | 'mobilenet-v3-large'
  | 'mobilenet-v3-small'
  | 'efficientnet-b0'
  | 'efficientnet-lite0';
