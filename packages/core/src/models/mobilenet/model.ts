/**
 * Networks of inverted residual blocks, with the parameter names of timm: MobileNetV2 and V3, EfficientNet, MCUNet,
 * ProxylessNAS. They differ in their lists of blocks, which are the configuration.
 *
 * Legend: B batch, S image side; images [B, H, W, C] with channels last.
 *
 *   conv_stem, bn1        3 × 3 convolution, stride 2
 *   blocks.s.b            expand 1 × 1 → depthwise k × k → squeeze-excite → project 1 × 1; where neither size
 *                         nor channels change, the block's input is added
 *   conv_head, bn2        1 × 1 convolution, where the configuration has a `tail`
 *   mean of all pixels
 *   conv_head             1 × 1 convolution with bias, where it has `features` (MobileNetV3)
 *   classifier            linear
 *
 * Known limits: square images, no dropout or stochastic depth.
 *
 * References: Sandler et al., MobileNetV2, CVPR 2018 (arXiv:1801.04381); Howard et al., Searching for MobileNetV3, ICCV
 * 2019 (arXiv:1905.02244); Tan & Le, EfficientNet, ICML 2019 (arXiv:1905.11946); Lin et al., MCUNet, NeurIPS 2020
 * (arXiv:2007.10319); Cai et al., ProxylessNAS, ICLR 2019 (arXiv:1812.00332).
 */
import { ConfigError } from '../../errors.js';
import type { ModelGraph, Value } from '../../ir/graph.js';
import { i32 } from '../../ir/types.js';
import { activation } from '../../nn/activations.js';
import { convUnit, type NormOptions } from '../../nn/conv-unit.js';
import { pointwise, type Padding } from '../../nn/convolution.js';
import { linear } from '../../nn/layers.js';
import { globalMean, squeezeExcite } from '../../nn/squeeze-excite.js';
import { add } from '../../ops/add.js';
import { GraphBuilder } from '../../ops/builder.js';
import { channelsLast } from '../../ops/channels-last.js';
import { softmaxCrossEntropy } from '../../ops/softmax-cross-entropy.js';
import { readValue } from '../../schema/index.js';
import { normOf } from '../batch-norm.js';
import { imagesOf } from '../images.js';
import type { BuildOptions } from '../options.js';
import {
  mobileNetReader,
  STEM_STRIDE,
  type MobileNetBlock,
  type MobileNetConfig,
} from './schema.js';

const MOBILENET = { file: 'mobilenet', error: ConfigError, todo: 'Change the model configuration' };

/**
 * The forward graph of a network of inverted residuals: inputs `images` [B, 3, S, S] and `labels` [B], outputs
 * `logits` [B, classes] and `loss` (mean cross-entropy). Throws ConfigError for a configuration that cannot be built.
 *
 * @example
 * const model = mobileNet({ ...MOBILENET_PRESETS['mobilenet-v2'], classes: 10 }, { batch: 8 });
 */
export function mobileNet(config: MobileNetConfig, options: BuildOptions): ModelGraph {
  readValue(config, mobileNetReader, MOBILENET);
  const { classes, stages, tail } = config;
  const { batch, smoothing = 0 } = options;
  const builder = new GraphBuilder();
  const images = imagesOf(builder, config, options);
  const labels = builder.input('labels', i32(batch));
  const unit = { padding: config.padding, norm: normOf(config.batchNorm, options) };
  let x = builder.emit(channelsLast, { x: images }, { inverse: false }, 'images.last').y;
  x = convUnit(builder, { conv: 'conv_stem', norm: 'bn1' }, x, {
    ...{ ...unit, outputs: config.stem.width, activation: config.stem.activation },
    ...{ kernel: 3, stride: STEM_STRIDE },
  });
  const blocks: string[] = [];
  stages.forEach((stage, s) => {
    stage.forEach((block, b) => {
      const name = `blocks.${String(s)}.${String(b)}`;
      x = builder.scope(name, () => blockOf(builder, block, x, unit));
      blocks.push(`${name}.`);
    });
  });
  const last = tailNames(config);
  if (tail) {
    const sizes = { outputs: tail.width, kernel: 1, activation: tail.activation };
    x = convUnit(builder, last, x, { ...unit, ...sizes });
  }
  const logits = linear(builder, 'classifier', features(builder, config, x), classes);
  const { loss } = builder.emit(softmaxCrossEntropy, { logits, labels }, { smoothing }, 'loss');
  return {
    graph: builder.build({ logits, loss }),
    blocks,
    tail: [`${last.conv}.`, `${last.norm}.`, 'conv_head.'],
    head: 'classifier.',
  };
}

/** Of the 1 × 1 convolution behind the blocks: timm counts MobileNetV3's among them. */
function tailNames({ stages, features: behind }: MobileNetConfig) {
  if (!behind) return { conv: 'conv_head', norm: 'bn2' };
  const block = `blocks.${String(stages.length)}.0`;
  return { conv: `${block}.conv`, norm: `${block}.bn1` };
}

/** What all convolutions of a network have in common. */
interface Unit {
  readonly padding: Padding;
  readonly norm: NormOptions;
}

/** What the classifier reads: [B, width]. */
function features(builder: GraphBuilder, config: MobileNetConfig, x: Value): Value {
  const mean = globalMean(builder, 'pool', x);
  if (!config.features) return mean;
  const { width, activation: kind } = config.features;
  const y = pointwise(builder, 'conv_head', mean, width, { bias: true });
  return activation(builder, 'conv_head.act', y, kind);
}

function blockOf(builder: GraphBuilder, block: MobileNetBlock, x: Value, unit: Unit): Value {
  const { kernel, stride, width, expansion, squeeze } = block;
  const [, , , inputs] = x.type.shape;
  const names = expansion ? INVERTED : SEPARABLE;
  let y = x;
  if (expansion) {
    const sizes = { outputs: expansion.width, kernel: 1, activation: expansion.activation };
    y = convUnit(builder, names.expand, y, { ...unit, ...sizes });
  }
  const groups = expansion?.width ?? inputs;
  const depthwise = { outputs: groups, groups, kernel, stride, activation: block.activation };
  y = convUnit(builder, names.depthwise, y, { ...unit, ...depthwise });
  if (squeeze) {
    const { width: reduced, activation: kind, gate } = squeeze;
    const convolutions = ['conv_reduce', 'conv_expand'] as const;
    y = squeezeExcite(builder, 'se', y, { reduced, activation: kind, gate, convolutions });
  }
  const projection = { outputs: width, kernel: 1, activation: block.projection };
  y = convUnit(builder, names.project, y, { ...unit, ...projection });
  if (stride !== 1 || inputs !== width) return y;
  return builder.emit(add, { a: x, b: y }, {}, 'residual').y;
}

/** timm's names in a block with an expansion, and in one without. */
const INVERTED = {
  expand: { conv: 'conv_pw', norm: 'bn1' },
  depthwise: { conv: 'conv_dw', norm: 'bn2' },
  project: { conv: 'conv_pwl', norm: 'bn3' },
} as const;
const SEPARABLE = {
  ...INVERTED,
  depthwise: { conv: 'conv_dw', norm: 'bn1' },
  project: { conv: 'conv_pw', norm: 'bn2' },
} as const;
