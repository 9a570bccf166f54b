/**
 * Residual networks, with the parameter names of torchvision and timm.
 *
 * Legend: B batch, S image side; images [B, H, W, C] with channels last.
 *
 *   conv1, bn1            the stem; a large one is followed by a max pool of 3 × 3
 *   layer{s}.{b}          basic: 3 × 3, 3 × 3; bottleneck: 1 × 1, 3 × 3 (which has the stride), 1 × 1; the block's
 *                         input, through `downsample` where sizes differ, is added before the last ReLU
 *   mean of all pixels
 *   fc                    linear
 *
 * Known limits: square images; no variants with a deep stem or average pools in the shortcut (timm's -d).
 *
 * Reference: He et al., Deep residual learning, CVPR 2016 (arXiv:1512.03385); with the stride in the 3 × 3 convolution
 * as all published weights have it.
 */
import { ConfigError } from '../../errors.js';
import type { ModelGraph, Value } from '../../ir/graph.js';
import { i32 } from '../../ir/types.js';
import { activation } from '../../nn/activations.js';
import { convUnit, type NormOptions } from '../../nn/conv-unit.js';
import { linear } from '../../nn/layers.js';
import { globalMean } from '../../nn/squeeze-excite.js';
import { add } from '../../ops/add.js';
import { GraphBuilder } from '../../ops/builder.js';
import { channelsLast } from '../../ops/channels-last.js';
import { maxPool } from '../../ops/max-pool.js';
import { softmaxCrossEntropy } from '../../ops/softmax-cross-entropy.js';
import { readValue } from '../../schema/index.js';
import { normOf } from '../batch-norm.js';
import { imagesOf } from '../images.js';
import type { BuildOptions } from '../options.js';
import { BOTTLENECK, resNetReader, type ResNetConfig } from './schema.js';

const RESNET = { file: 'resnet', error: ConfigError, todo: 'Change the model configuration' };

/**
 * The forward graph of a residual network: inputs `images` [B, 3, S, S] and `labels` [B], outputs `logits`
 * [B, classes] and `loss` (mean cross-entropy). Throws ConfigError for a configuration that cannot be built.
 *
 * @example
 * const model = resNet({ ...RESNET_PRESETS['resnet-18'], classes: 10 }, { batch: 8 });
 */
export function resNet(config: ResNetConfig, options: BuildOptions): ModelGraph {
  readValue(config, resNetReader, RESNET);
  const { classes, depths, widths } = config;
  const { batch, smoothing = 0 } = options;
  const builder = new GraphBuilder();
  const images = imagesOf(builder, config, options);
  const labels = builder.input('labels', i32(batch));
  const norm = normOf(config.batchNorm, options);
  let x = stem(builder, config, images, norm);
  const blocks: string[] = [];
  for (let s = 0; s < depths.length; s++) {
    for (let b = 0; b < depths[s]; b++) {
      const name = `layer${String(s + 1)}.${String(b)}`;
      const sizes = { width: widths[s], stride: s > 0 && b === 0 ? 2 : 1 };
      x = builder.scope(name, () => residual(builder, config.block, x, sizes, norm));
      blocks.push(`${name}.`);
    }
  }
  const logits = linear(builder, 'fc', globalMean(builder, 'avgpool', x), classes);
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing }, 'loss');
  return { graph: builder.build({ logits, loss }), blocks, tail: [], head: 'fc.' };
}

/** Images [B, C, S, S] → [B, S/4, S/4, width], or [B, S, S, width]. */
function stem(
  builder: GraphBuilder,
  config: ResNetConfig,
  images: Value,
  norm: NormOptions,
): Value {
  const isLarge = config.stem === 'large';
  const pixels = builder.emit(channelsLast, { x: images }, { inverse: false }, 'images.last').y;
  const x = convUnit(builder, { conv: 'conv1', norm: 'bn1' }, pixels, {
    ...{ outputs: config.stemWidth, padding: 'symmetric', activation: 'relu', norm },
    ...(isLarge ? { kernel: 7, stride: 2 } : { kernel: 3 }),
  });
  return isLarge ? builder.emit(maxPool, { x }, POOL, 'maxpool').y : x;
}

const POOL = { kernel: 3, stride: 2, padTop: 1, padLeft: 1, padBottom: 1, padRight: 1 } as const;

/** A block, inside its scope. */
function residual(
  builder: GraphBuilder,
  kind: ResNetConfig['block'],
  x: Value,
  { width, stride }: { readonly width: number; readonly stride: number },
  norm: NormOptions,
): Value {
  const [, , , inputs] = x.type.shape;
  const outputs = kind === 'basic' ? width : BOTTLENECK * width;
  const units =
    kind === 'basic'
      ? [
          { kernel: 3, outputs: width, stride },
          { kernel: 3, outputs, stride: 1 },
        ]
      : [
          { kernel: 1, outputs: width, stride: 1 },
          { kernel: 3, outputs: width, stride },
          { kernel: 1, outputs, stride: 1 },
        ];
  const shared = { padding: 'symmetric', norm } as const;
  let y = x;
  units.forEach((sizes, index) => {
    const number = String(index + 1);
    const last = index === units.length - 1;
    const names = { conv: `conv${number}`, norm: `bn${number}` };
    y = convUnit(builder, names, y, { ...shared, ...sizes, activation: last ? 'none' : 'relu' });
  });
  const isSame = stride === 1 && inputs === outputs;
  const shortcut = isSame
    ? x
    : convUnit(builder, { conv: 'downsample.0', norm: 'downsample.1' }, x, {
        ...{ ...shared, kernel: 1, outputs, stride, activation: 'none' },
      });
  const sum = builder.emit(add, { a: shortcut, b: y }, {}, 'residual').y;
  return activation(builder, 'act', sum, 'relu');
}
