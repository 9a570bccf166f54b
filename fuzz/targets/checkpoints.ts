/** What stands beside weights, and in their metadata: through `recognise`, as commands open a checkpoint. */
import {
  preprocessorConfig,
  recognise,
  VIT_PRESETS,
  defaultPreprocess,
  type Random,
  type Sidecars,
} from '@thimble/core';
import { storedForm } from '../../packages/cli/src/run/form.js';
import { parseJsonObject } from '../../packages/cli/src/weights/json-file.js';
import { parseShardIndex } from '../../packages/cli/src/weights/shard-index.js';
import { runCase } from '../../packages/cli/test/run-cases.js';
import { caseOf, type Case } from '../../packages/core/test/checkpoint-cases.js';
import type { Target } from '../campaign.js';
import { damagedJson, pick } from '../mutate.js';
import { recognisedFault } from '../oracles.js';

const NONE = new Map<string, string>();
const NO_FILES: Sidecars = { config: null, preprocessor: null };

/** Inputs are the number of a value and its damaged text. */
function numbered(random: Random, values: readonly unknown[]): string {
  const at = random.below(values.length);
  return `${String(at)}${damagedJson(random, values[at])}`;
}

function parts(input: string | Uint8Array): { readonly at: number; readonly text: string } {
  const whole = typeof input === 'string' ? input : new TextDecoder().decode(input);
  return { at: Number(whole[0]), text: whole.slice(1) };
}

function configTarget(name: string, cases: readonly Case[]): Target {
  const configs = cases.map(({ sidecars }) => sidecars.config);
  return {
    name,
    make: (random) => numbered(random, configs),
    check: (input) => {
      const { at, text } = parts(input);
      const config = parseJsonObject('config.json', text);
      return recognisedFault(recognise(cases[at].source, NONE, { config, preprocessor: null }));
    },
    testCases: 150,
  };
}

const VIT = caseOf('hugging-face', 'vit');
const TIMM = caseOf('timm', 'vit');
const PROCESSORS: readonly unknown[] = [
  preprocessorConfig(VIT_PRESETS['vit-tiny-16'], defaultPreprocess),
  {
    ...{ image_processor_type: 'ViTImageProcessorFast', do_resize: true, do_center_crop: null },
    ...{ size: { height: 16, width: 16 }, image_mean: [0.5, 0.4, 0.3], image_std: [0.2, 0.3, 0.2] },
    ...{ do_rescale: true, rescale_factor: 1 / 255, do_normalize: true, resample: 2 },
  },
  {
    ...{
      image_processor_type: 'DeiTImageProcessor',
      size: 18,
      crop_size: 16,
      do_center_crop: true,
    },
    ...{ image_mean: 0.5, image_std: 0.5, do_rescale: false, do_pad: false },
  },
  {
    feature_extractor_type: 'ConvNextFeatureExtractor',
    size: { shortest_edge: 16 },
    crop_pct: 0.9,
  },
  {
    image_processor_type: 'TimmWrapperImageProcessor',
    pretrained_cfg: {
      ...{ input_size: [3, 16, 16], crop_pct: 0.9, crop_mode: 'center', interpolation: 'bicubic' },
      ...{ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], num_classes: 5 },
    },
  },
];

const preprocessor: Target = {
  name: 'preprocessor_config.json',
  make: (random) => numbered(random, PROCESSORS),
  check: (input) => {
    const { text } = parts(input);
    const file = parseJsonObject('preprocessor_config.json', text);
    const { config } = VIT.sidecars;
    return recognisedFault(recognise(VIT.source, NONE, { config, preprocessor: file }));
  },
  testCases: 150,
};

const CONVOLUTION = {
  kernel: [1, 1],
  stride: 1,
  pad: [0, 0],
  groups: 1,
  clamp: [-3.5, 4],
} as const;
const DEPTHWISE = { kernel: [3, 3], stride: 1, pad: [1, 1], groups: 8, clamp: [0, 6] } as const;
/** A network of MCUNet's kind. */
const ARCHITECTURE = {
  ...{ input: 16, mean: 0.5, std: 0.5 },
  first_conv: { ...DEPTHWISE, stride: 2, groups: 1, inC: 3, outC: 8 },
  blocks: [
    {
      ...{ residual: false, pointwise1: null, depthwise: { ...DEPTHWISE, inC: 8, outC: 8 } },
      pointwise2: { ...CONVOLUTION, inC: 8, outC: 4 },
    },
    {
      ...{ residual: true, pointwise1: { ...CONVOLUTION, clamp: [0, 6], inC: 4, outC: 8 } },
      depthwise: { ...DEPTHWISE, inC: 8, outC: 8 },
      pointwise2: { ...CONVOLUTION, inC: 8, outC: 4 },
    },
  ],
  feature_mix: null,
  classifier: { ...CONVOLUTION, clamp: null, inC: 4, outC: 3 },
};
const SHAPES: readonly (readonly [string, readonly number[]])[] = [
  ['first_conv', [8, 3, 3, 3]],
  ['blocks.0.depthwise', [8, 1, 3, 3]],
  ['blocks.0.pointwise2', [4, 8, 1, 1]],
  ['blocks.1.pointwise1', [8, 4, 1, 1]],
  ['blocks.1.depthwise', [8, 1, 3, 3]],
  ['blocks.1.pointwise2', [4, 8, 1, 1]],
  ['classifier', [3, 4, 1, 1]],
];
const NETWORK = {
  name: 'network.safetensors',
  shapes: new Map(
    SHAPES.flatMap(([name, shape]) => [
      [`${name}.weight`, shape] as const,
      [`${name}.bias`, [shape[0]]] as const,
    ]),
  ),
  read: () => new Float32Array(),
};

const architecture: Target = {
  name: 'arch.json',
  make: (random) => damagedJson(random, ARCHITECTURE),
  check: (input) => {
    const said = parseJsonObject('arch.json', String(input));
    return recognisedFault(recognise(NETWORK, NONE, { ...NO_FILES, architecture: said }));
  },
  testCases: 150,
};

const FC1 = 'blocks.0.mlp.fc1.weight';
const OWN = runCase('wasi=0.8', { weights: { [FC1]: 4 }, activations: { [FC1]: [2, 9, 5] } });
const JSON_KEYS = ['thimble.config', 'classes', 'preprocess', 'thimble.factors'] as const;

/** What a checkpoint says of itself, one entry damaged. */
const metadata: Target = {
  name: 'metadata',
  make: (random) =>
    numbered(
      random,
      JSON_KEYS.map((key) => JSON.parse(OWN.checkpoint.metadata.get(key) ?? 'null') as unknown),
    ),
  check: (input) => {
    const { at, text } = parts(input);
    const said = new Map([...OWN.checkpoint.metadata, [JSON_KEYS[at], text] as const]);
    const found = recognise(OWN.checkpoint, said, NO_FILES);
    const form = storedForm('model.safetensors', said, found.config);
    const strangers = Object.keys(form?.found.ranks?.weights ?? {}).filter(
      (name) => !name.startsWith('blocks.'),
    );
    return strangers.length > 0 ? 'ranks of weights that are none' : recognisedFault(found);
  },
  testCases: 150,
};

const WORDS = ['heads', 'ln_eps', 'mean', 'std', 'crop_pct', 'interpolation'];
const ODD_WORDS = [
  ...['', '0', '-1', '2', '4', '1e-6', '1e-320', 'NaN', 'Infinity', '1e308', '0.5,0.5,0.5'],
  ...['0,0,0', '1e308,0,0', '1e-320,1,1', '0.5,0.5', 'a,b,c', 'bicubic', 'sharp', '0.9', '99'],
];

/** Plain words in the metadata of a bare file. */
const words: Target = {
  name: 'words in metadata',
  make: (random) => JSON.stringify(WORDS.map((word) => [word, pick(random, ODD_WORDS)])),
  check: (input) => {
    const given = JSON.parse(String(input)) as readonly (readonly [string, string])[];
    return recognisedFault(recognise(TIMM.source, new Map(given), NO_FILES));
  },
};

const INDEX = {
  metadata: { total_size: 99 },
  weight_map: { a: 'model-1.safetensors', b: 'model-1.safetensors', c: 'model-2.safetensors' },
};

const shardIndex: Target = {
  name: 'model.safetensors.index.json',
  make: (random) => damagedJson(random, INDEX),
  check: (input) => {
    const { shards, shardOf } = parseShardIndex('index', String(input));
    const isPlain = (name: string) => /^[\w.-]+\.safetensors$/.test(name) && !name.startsWith('.');
    if (!shards.every(isPlain)) return 'a shard that is no file beside the index';
    const known = new Set(shards);
    return [...shardOf.values()].every((shard) => known.has(shard)) ? null : 'an unknown shard';
  },
};

export const CHECKPOINTS: readonly Target[] = [
  configTarget('config.json of transformers', [
    VIT,
    caseOf('hugging-face', 'swin'),
    caseOf('hugging-face', 'deit-teacher'),
  ]),
  configTarget('config.json of timm', [
    TIMM,
    caseOf('timm', 'swin'),
    caseOf('timm', 'swin-former'),
  ]),
  preprocessor,
  architecture,
  metadata,
  words,
  shardIndex,
];
