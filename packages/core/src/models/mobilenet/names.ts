/**
 * Where libraries keep the parameters of a network of inverted residuals (`naming.ts`); `{s}` is a stage and `{b}` a
 * block of it. A library that counts blocks through all stages has a row for each block of a published network.
 *
 * Sources: timm.models.efficientnet, mobilenetv3; torchvision.models.mobilenetv2, mobilenetv3, efficientnet;
 * transformers.models.mobilenet_v2, efficientnet; the converted models of MCUNet (tiny-training) and of TensorFlow
 * Lite.
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
import { MOBILENET_PRESETS } from './presets.js';
import type { MobileNetConfig } from './schema.js';

/** PyTorch's count of batches, which nothing reads. */
const COUNTERS = [/\.num_batches_tracked$/];

/** What follows the name of a unit: its convolution, its norm. */
type UnitNames = readonly [conv: string, norm: string];

/** The names of a block's units by the place in the block where they stand. */
interface BlockNames {
  readonly expand: UnitNames;
  readonly depthwise: UnitNames;
  readonly project: UnitNames;
  /** The two convolutions of squeeze-excitation. */
  readonly squeeze?: UnitNames;
}

/** A unit as a library has it, `conv` and `norm` behind its name. */
function unit(ours: UnitNames, theirs: UnitNames): Table {
  return { [`${ours[0]}.*`]: `${theirs[0]}.*`, [`${ours[1]}.*`]: `${theirs[1]}.*` };
}

/**
 * The rows of every block of a published network.
 *
 * @param names of the block with this number, counted through all stages, and in its stage
 */
function blockRows(
  { stages }: MobileNetConfig,
  names: (place: { index: number; stage: number; inStage: number }) => BlockNames,
): Table {
  let index = 0;
  const rows = stages.flatMap((blocks, stage) =>
    blocks.map(({ expansion, squeeze }, inStage) => {
      const theirs = names({ index: index++, stage, inStage });
      const ours = (name: string) => `blocks.${String(stage)}.${String(inStage)}.${name}`;
      const units: UnitNames[] = expansion
        ? [
            ['conv_pw', 'bn1'],
            ['conv_dw', 'bn2'],
            ['conv_pwl', 'bn3'],
          ]
        : [
            ['conv_dw', 'bn1'],
            ['conv_pw', 'bn2'],
          ];
      const places = [...(expansion ? [theirs.expand] : []), theirs.depthwise, theirs.project];
      const own = units.map(([conv, norm]): UnitNames => [ours(conv), ours(norm)]);
      const gates: UnitNames = [ours('se.conv_reduce'), ours('se.conv_expand')];
      return {
        ...Object.assign({}, ...own.map((each, at) => unit(each, places[at]))),
        ...(squeeze && theirs.squeeze && unit(gates, theirs.squeeze)),
      } as Table;
    }),
  );
  return Object.assign({}, ...rows) as Table;
}

const TIMM: Layout = {
  naming: 'timm',
  names: namesOf(
    same([
      ...['conv_stem.*', 'bn1.*', 'conv_head.*', 'bn2.*', 'classifier.*'],
      ...['conv_pw.*', 'conv_dw.*', 'conv_pwl.*', 'conv.*', 'bn1.*', 'bn2.*', 'bn3.*'].map(
        (name) => `blocks.{s}.{b}.${name}`,
      ),
      ...['conv_reduce.*', 'conv_expand.*'].map((name) => `blocks.{s}.{b}.se.${name}`),
    ]),
  ),
  prefixes: [''],
  sign: ['conv_stem.weight', 'blocks.0.0.conv_dw.weight'],
  ignored: COUNTERS,
};

const {
  'mobilenet-v2': V2,
  'mobilenet-v3-large': LARGE,
  'mobilenet-v3-small': SMALL,
  'efficientnet-b0': B0,
} = MOBILENET_PRESETS;

/** The last block's projection, which only a network with as many blocks has. */
function lastOf({ stages }: MobileNetConfig): string {
  const block = `blocks.${String(stages.length - 1)}.${String((stages.at(-1)?.length ?? 0) - 1)}`;
  return `${block}.conv_pwl.weight`;
}

function layoutOf(
  naming: Layout['naming'],
  config: MobileNetConfig,
  names: Table,
  prefixes: readonly string[] = [''],
): Layout {
  const sign = ['conv_stem.weight', 'blocks.0.0.conv_dw.weight', lastOf(config)];
  return { naming, names: namesOf(names), prefixes, sign, ignored: COUNTERS };
}

/** Sequences of sequences: `{name}.{part}.0` a convolution, `.1` its norm. */
function numbered(name: string): UnitNames {
  return [`${name}.0`, `${name}.1`];
}

const TORCHVISION_V2 = layoutOf('torchvision', V2, {
  ...unit(['conv_stem', 'bn1'], numbered('features.0')),
  ...blockRows(V2, ({ index }) => {
    const conv = `features.${String(index + 1)}.conv`;
    // The first block has no expansion, and everything stands one further in front.
    const [depthwise, project] = index === 0 ? [0, 1] : [1, 2];
    return {
      expand: numbered(`${conv}.0`),
      depthwise: numbered(`${conv}.${String(depthwise)}`),
      project: [`${conv}.${String(project)}`, `${conv}.${String(project + 1)}`],
    };
  }),
  ...unit(['conv_head', 'bn2'], numbered('features.18')),
  'classifier.*': 'classifier.1.*',
});

/** Parts of a block in the order in which they run. */
function inOrder(block: string, expands: boolean, squeezes: boolean): BlockNames {
  const at = (part: number) => `${block}.block.${String(part)}`;
  const depthwise = expands ? 1 : 0;
  const squeeze = at(depthwise + 1);
  return {
    expand: numbered(at(0)),
    depthwise: numbered(at(depthwise)),
    squeeze: [`${squeeze}.fc1`, `${squeeze}.fc2`],
    project: numbered(at(depthwise + (squeezes ? 2 : 1))),
  };
}

function torchvisionV3(config: MobileNetConfig): Layout {
  const blocks = config.stages.flat();
  const last = `blocks.${String(config.stages.length)}.0`;
  return layoutOf('torchvision', config, {
    ...unit(['conv_stem', 'bn1'], numbered('features.0')),
    ...blockRows(config, ({ index }) =>
      inOrder(
        `features.${String(index + 1)}`,
        blocks[index].expansion !== null,
        blocks[index].squeeze !== null,
      ),
    ),
    ...unit([`${last}.conv`, `${last}.bn1`], numbered(`features.${String(blocks.length + 1)}`)),
    'conv_head.*': 'classifier.0.*',
    'classifier.*': 'classifier.3.*',
  });
}

const TORCHVISION_B0 = layoutOf('torchvision', B0, {
  ...unit(['conv_stem', 'bn1'], numbered('features.0')),
  ...blockRows(B0, ({ stage, inStage }) =>
    inOrder(`features.${String(stage + 1)}.${String(inStage)}`, stage > 0, true),
  ),
  ...unit(['conv_head', 'bn2'], numbered('features.8')),
  'classifier.*': 'classifier.1.*',
});

/** A unit of transformers' MobileNetV2. */
function transformersUnit(name: string): UnitNames {
  return [`${name}.convolution`, `${name}.normalization`];
}

const TRANSFORMERS_V2 = layoutOf(
  'hugging-face',
  V2,
  {
    ...unit(['conv_stem', 'bn1'], transformersUnit('{p}conv_stem.first_conv')),
    ...blockRows(V2, ({ index }) => {
      const block = index === 0 ? '{p}conv_stem' : `{p}layer.${String(index - 1)}`;
      return {
        expand: transformersUnit(`${block}.expand_1x1`),
        depthwise: transformersUnit(`${block}.conv_3x3`),
        project: transformersUnit(`${block}.reduce_1x1`),
      };
    }),
    ...unit(['conv_head', 'bn2'], transformersUnit('{p}conv_1x1')),
    'classifier.*': 'classifier.*',
  },
  ['mobilenet_v2.', ''],
);

const TRANSFORMERS_B0 = layoutOf(
  'hugging-face',
  B0,
  {
    ...unit(['conv_stem', 'bn1'], ['{p}embeddings.convolution', '{p}embeddings.batchnorm']),
    ...blockRows(B0, ({ index }) => {
      const block = `{p}encoder.blocks.${String(index)}`;
      return {
        expand: [`${block}.expansion.expand_conv`, `${block}.expansion.expand_bn`],
        depthwise: [
          `${block}.depthwise_conv.depthwise_conv`,
          `${block}.depthwise_conv.depthwise_norm`,
        ],
        squeeze: [`${block}.squeeze_excite.reduce`, `${block}.squeeze_excite.expand`],
        project: [`${block}.projection.project_conv`, `${block}.projection.project_bn`],
      };
    }),
    ...unit(['conv_head', 'bn2'], ['{p}encoder.top_conv', '{p}encoder.top_bn']),
    'classifier.*': 'classifier.*',
  },
  ['efficientnet.', ''],
);

/** MCUNet's search space, batch norm folded; all blocks are one stage. */
const MCUNET: Layout = {
  naming: 'arch',
  names: namesOf({
    'conv_stem.*': 'first_conv.*',
    'blocks.0.0.conv_pw.*': 'blocks.0.pointwise2.*',
    'blocks.0.{b}.conv_pw.*': 'blocks.{b}.pointwise1.*',
    'blocks.0.{b}.conv_dw.*': 'blocks.{b}.depthwise.*',
    'blocks.0.{b}.conv_pwl.*': 'blocks.{b}.pointwise2.*',
    'conv_head.*': 'feature_mix.*',
    'classifier.*': 'classifier.*',
  }),
  prefixes: [''],
  sign: ['conv_stem.weight', 'blocks.0.0.conv_dw.weight', 'blocks.0.1.conv_pwl.weight'],
  ignored: [],
};

/** MobileNetV2 of TensorFlow Lite, batch norm folded: convolutions by number. */
const TFLITE_V2 = layoutOf('arch', V2, {
  'conv_stem.*': `${convolution(0)}.*`,
  ...blockRows(V2, ({ index }) => {
    const first = 3 * index; // the first block has two convolutions, the stem stands before it
    const names = (at: number): UnitNames => [convolution(at), 'none'];
    return {
      expand: names(first),
      depthwise: names(first + 1),
      project: names(first + 2),
    };
  }),
  'conv_head.*': `${convolution(51)}.*`,
  'classifier.*': `${convolution(52)}.*`,
});

function convolution(index: number): string {
  return `conv${String(index).padStart(2, '0')}`;
}

export const MOBILENET_LAYOUTS: readonly Layout[] = [
  TIMM,
  TORCHVISION_V2,
  torchvisionV3(LARGE),
  torchvisionV3(SMALL),
  TORCHVISION_B0,
  TRANSFORMERS_V2,
  TRANSFORMERS_B0,
  TFLITE_V2,
  MCUNET,
];

/** The layout in which the weights of `config` are written under names of `naming`. Throws ConfigError. */
export function mobileNetWrittenLayout(
  naming: WrittenNaming,
  config: MobileNetConfig,
): PlacedLayout {
  if (naming === 'timm') return { ...TIMM, prefix: '' };
  const found = [
    { preset: V2, layout: TRANSFORMERS_V2, prefix: 'mobilenet_v2.' },
    { preset: B0, layout: TRANSFORMERS_B0, prefix: 'efficientnet.' },
  ].find(({ preset }) => hasStructure(config, preset));
  // transformers' EfficientNet knows TensorFlow's padding only.
  const isPadded = found?.preset !== B0 || config.padding === 'same';
  if (!found || !config.batchNorm || !isPadded) {
    throw noPlace('hugging-face', 'blocks or padding as these');
  }
  return { ...found.layout, prefix: found.prefix };
}

/** Whether both have the same parts, of whatever widths. */
export function hasStructure(one: MobileNetConfig, other: MobileNetConfig): boolean {
  return structure(one) === structure(other);
}

function structure({ stages, tail, features }: MobileNetConfig): string {
  const blocks = stages.map((stage) =>
    stage.map(({ kernel, expansion, squeeze }) => [kernel, expansion !== null, squeeze !== null]),
  );
  return JSON.stringify([blocks, tail !== null, features !== null]);
}
