/** The configuration of a residual network from its tensors; only ε and the image size are not in their shapes. */
import { CheckpointError } from '../../errors.js';
import { optional, object, readValue, text, truth } from '../../schema/index.js';
import { PYTORCH_NORM } from '../batch-norm.js';
import { CONFIG, side } from '../documents.js';
import {
  agree,
  classifierOf,
  countOf,
  unsupported,
  type Configured,
  type Evidence,
} from '../evidence.js';
import { expectOutputsFirst } from '../kernels.js';
import { CLASSES, IMAGE_SIZE } from '../sizes.js';
import { bareArguments, timmFacts } from '../timm.js';
import { BOTTLENECK, type ResNetConfig } from './schema.js';

/** Sides of the images that the two stems are for. */
const SIDES = { large: 224, small: 32 } as const;

/** Throws CheckpointError where shapes and facts disagree or a size makes no sense. */
export function resNetConfigure(evidence: Evidence<ResNetConfig>): Configured<ResNetConfig> {
  const { said } = evidence;
  expectOutputsFirst(evidence, 'conv1.weight');
  const facts = factsOf(evidence);
  const shape = (name: string) => evidence.shape(`${name}.weight`);
  const name = (s: number, b: number) => `layer${String(s + 1)}.${String(b)}`;
  const has = (s: number, b: number) => shape(`${name(s, b)}.conv1`) !== null;
  const depths = Array.from({ length: countOf((s) => has(s, 0)) }, (_, s) =>
    countOf((b) => has(s, b)),
  );
  const block = shape(`${name(0, 0)}.conv3`) ? 'bottleneck' : 'basic';
  const widths = depths.map((_, s) => shape(`${name(s, 0)}.conv2`)?.[1] ?? 0);
  const [stemWidth = 0, channels = 0, taps = 0] = shape('conv1') ?? [];
  if (taps !== 7 && taps !== 3) {
    throw new CheckpointError({
      where: `${evidence.file}, tensor conv1.weight`,
      expected: 'a stem of 7 × 7 taps, or of 3 × 3 for small images',
      got: `${String(taps)} × ${String(taps)}`,
      todo: 'Thimble reads plain ResNets',
    });
  }
  const stem = taps === 7 ? 'large' : 'small';
  const { classes, hasClassifier } = classifierOf(evidence, 'fc.weight', facts.classes);
  const usual = SIDES[stem];
  const config: ResNetConfig = {
    family: 'resnet',
    imageSize: facts.imageSize ?? usual,
    channels,
    classes,
    batchNorm: said.by === 'thimble' ? said.config.batchNorm : PYTORCH_NORM,
    stem,
    stemWidth,
    block,
    depths,
    widths,
  };
  if (facts.block !== undefined) agree(evidence, 'block', facts.block, block);
  if (facts.width !== undefined && block === 'bottleneck') {
    agree(evidence, 'width', facts.width, BOTTLENECK * (widths[0] ?? 0));
  }
  const guess = `${String(usual)} px is a guess`;
  return { config, hasClassifier, guesses: facts.imageSize === undefined ? [guess] : [] };
}

interface ResNetFacts {
  readonly imageSize?: number | undefined;
  readonly classes?: number | undefined;
  readonly block?: string | undefined;
  readonly width?: number | undefined;
}

const TRANSFORMERS = object({
  image_size: optional(side(IMAGE_SIZE)),
  num_labels: optional(CLASSES),
  hidden_act: optional(text({ most: 200 })),
  layer_type: optional(text({ most: 200 })),
  downsample_in_first_stage: optional(truth),
  downsample_in_bottleneck: optional(truth),
});

function factsOf({ said, kinds }: Evidence<ResNetConfig>): ResNetFacts {
  switch (said.by) {
    case 'thimble': {
      const { imageSize, classes, block } = said.config;
      return { imageSize, classes, block };
    }
    case 'transformers': {
      const file = readValue(said.file, TRANSFORMERS, CONFIG);
      const { hidden_act: act = 'relu', layer_type: block } = file;
      if (act !== 'relu') throw unsupported('hidden_act', 'relu', act, kinds);
      for (const key of ['downsample_in_first_stage', 'downsample_in_bottleneck'] as const) {
        if (file[key] === true) throw unsupported(key, 'false', 'true', kinds);
      }
      return { imageSize: file.image_size, classes: file.num_labels, block };
    }
    case 'timm': {
      const { architecture = '', imageSize, classes } = timmFacts(said.file);
      if (/resnet\d+(d|t|s|c)\b|_(gn|rs|blur|aa)|^se|^eca/.test(architecture)) {
        throw unsupported('architecture', 'a plain ResNet', architecture, kinds);
      }
      const strange = Object.keys(bareArguments(said.file)).find((key) =>
        [
          'act_layer',
          'norm_layer',
          'stem_type',
          'avg_down',
          'aa_layer',
          'replace_stem_pool',
        ].includes(key),
      );
      if (strange !== undefined)
        throw unsupported(`model_args.${strange}`, 'nothing', 'a value', kinds);
      return { imageSize, classes };
    }
    case 'arch':
    case 'words':
      return {};
    default:
      return said satisfies never;
  }
}
