/**
 * Where torchvision, timm and transformers keep the parameters of a residual network (`naming.ts`); `{s}` is a stage,
 * from 1 on, and `{b}` a block of it. The names of torchvision and timm are the same.
 *
 * Sources: torchvision.models.resnet, timm.models.resnet, transformers.models.resnet.
 */
import {
  namesOf,
  noPlace,
  same,
  type Layout,
  type PlacedLayout,
  type Table,
  type WrittenNaming,
} from '../naming.js';
import type { ResNetConfig } from './schema.js';

const SIGN = ['conv1.weight', 'layer1.0.conv1.weight', 'layer1.0.bn2.weight'];
/** PyTorch's count of batches, which nothing reads. */
const COUNTERS = [/\.num_batches_tracked$/];

const TIMM: Layout = {
  naming: 'timm',
  names: namesOf(
    same([
      ...['conv1.*', 'bn1.*', 'fc.*'],
      ...['conv1', 'bn1', 'conv2', 'bn2', 'conv3', 'bn3', 'downsample.0', 'downsample.1'].map(
        (name) => `layer{s}.{b}.${name}.*`,
      ),
    ]),
  ),
  prefixes: [''],
  sign: SIGN,
  ignored: COUNTERS,
};

const BLOCK = '{p}encoder.stages.{s-1}.layers.{b}';
const UNITS = [0, 1, 2].map((unit): Table => {
  const ours = String(unit + 1);
  const theirs = `${BLOCK}.layer.${String(unit)}`;
  return {
    [`layer{s}.{b}.conv${ours}.*`]: `${theirs}.convolution.*`,
    [`layer{s}.{b}.bn${ours}.*`]: `${theirs}.normalization.*`,
  };
});

const TRANSFORMERS: Layout = {
  naming: 'hugging-face',
  names: namesOf({
    'conv1.*': '{p}embedder.embedder.convolution.*',
    'bn1.*': '{p}embedder.embedder.normalization.*',
    ...(Object.assign({}, ...UNITS) as Table),
    'layer{s}.{b}.downsample.0.*': `${BLOCK}.shortcut.convolution.*`,
    'layer{s}.{b}.downsample.1.*': `${BLOCK}.shortcut.normalization.*`,
    'fc.*': 'classifier.1.*',
  }),
  prefixes: ['resnet.', ''],
  sign: SIGN,
  ignored: COUNTERS,
};

export const RESNET_LAYOUTS: readonly Layout[] = [TRANSFORMERS, TIMM];

const WRITTEN: { readonly [N in WrittenNaming]: PlacedLayout } = {
  timm: { ...TIMM, prefix: '' },
  'hugging-face': { ...TRANSFORMERS, prefix: 'resnet.' },
};

/** The layout in which the weights of a network are written under names of `naming`. Throws ConfigError. */
export function resNetWrittenLayout(naming: WrittenNaming, config: ResNetConfig): PlacedLayout {
  if (naming === 'hugging-face') expectLarge(config);
  return WRITTEN[naming];
}

/** Throws ConfigError for a network with another stem than transformers has. */
export function expectLarge({ stem }: ResNetConfig): void {
  if (stem === 'small') throw noPlace('hugging-face', 'a stem for small images');
}
