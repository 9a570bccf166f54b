/**
 * arch.json: the convolutions of a network whose tensors do not tell their strides, padding and activations. Two
 * forms are known: the blocks of MCUNet's search space, and the ops of a TensorFlow Lite file of MobileNetV2.
 */
import { CheckpointError } from '../../errors.js';
import type { Activation } from '../../nn/activations.js';
import {
  field,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  Place,
  readValue,
  text,
  truth,
  whole,
  type JsonDocument,
  type Read,
} from '../../schema/index.js';
import { IMAGE_SIZE, WIDTH } from '../sizes.js';
import { MOBILENET_PRESETS } from './presets.js';
import type { MobileNetBlock, MobileNetConfig, MobileNetLayer } from './schema.js';

const TAPS = whole({ most: 31 });
const BOUND = number({ least: -1e6, most: 1e6 });
const CONVOLUTION = object({
  kernel: list(TAPS, { least: 2, most: 2 }),
  stride: whole({ most: 8 }),
  pad: list(whole({ least: 0, most: 31 }), { least: 2, most: 2 }),
  groups: WIDTH,
  inC: WIDTH,
  outC: WIDTH,
  clamp: nullable(list(BOUND, { least: 2, most: 2 })),
});
type Convolution = Read<typeof CONVOLUTION>;
const BLOCK = object({
  residual: truth,
  pointwise1: nullable(CONVOLUTION),
  depthwise: CONVOLUTION,
  pointwise2: CONVOLUTION,
});
const MCUNET = object({
  input: IMAGE_SIZE,
  first_conv: CONVOLUTION,
  blocks: list(BLOCK, { least: 1, most: 256 }),
  feature_mix: nullable(CONVOLUTION),
  classifier: CONVOLUTION,
});
const TFLITE = object({
  input: IMAGE_SIZE,
  ops: list(
    object({
      op: text({ most: 100 }),
      stride: optional(whole({ most: 8 })),
      padding: optional(oneOf('SAME', 'VALID')),
      act: optional(nullable(oneOf('relu6', 'relu'))),
      shape: optional(list(WIDTH, { least: 4, most: 4 })),
    }),
    { least: 1, most: 1000 },
  ),
});

/** The configuration that arch.json says. Throws CheckpointError for what these models cannot do. */
export function architectureOf(file: unknown, from: string): MobileNetConfig {
  const document: JsonDocument = {
    file: from,
    error: CheckpointError,
    todo: 'Use the file that came with the weights',
  };
  const place = new Place(document);
  return field(file, 'ops') === undefined
    ? mcunet(readValue(file, MCUNET, document), place)
    : tflite(readValue(file, TFLITE, document), place);
}

function mcunet(said: Read<typeof MCUNET>, place: Place): MobileNetConfig {
  const { first_conv: stem, feature_mix: mix, classifier } = said;
  expectConvolution(stem, { kernel: 3, stride: 2, groups: 1 }, place.at('first_conv'));
  let inputs = stem.outC;
  const blocks = said.blocks.map((block, index) => {
    const found = blockOf(block, inputs, place.at('blocks').at(index));
    inputs = found.width;
    return found;
  });
  return {
    family: 'mobilenet',
    imageSize: said.input,
    channels: stem.inC,
    classes: classifier.outC,
    padding: 'symmetric',
    batchNorm: null,
    stem: layerOf(stem),
    stages: [blocks],
    tail: mix && layerOf(mix),
    features: null,
  };
}

function blockOf(
  { residual, pointwise1, depthwise, pointwise2 }: Read<typeof BLOCK>,
  inputs: number,
  place: Place,
): MobileNetBlock {
  const [kernel] = depthwise.kernel;
  const expanded = pointwise1?.outC ?? inputs;
  const { stride } = depthwise;
  if (pointwise1) {
    expectConvolution(pointwise1, { kernel: 1, stride: 1, groups: 1 }, place.at('pointwise1'));
  }
  expectConvolution(depthwise, { kernel, stride, groups: expanded }, place.at('depthwise'));
  expectConvolution(pointwise2, { kernel: 1, stride: 1, groups: 1 }, place.at('pointwise2'));
  const added = stride === 1 && inputs === pointwise2.outC;
  if (residual !== added) throw place.at('residual').error(String(added), String(residual));
  return {
    kernel,
    stride,
    expansion: pointwise1 && layerOf(pointwise1),
    activation: activationOf(depthwise),
    squeeze: null,
    width: pointwise2.outC,
    projection: activationOf(pointwise2),
  };
}

function layerOf(convolution: Convolution): MobileNetLayer {
  return { width: convolution.outC, activation: activationOf(convolution) };
}

function activationOf({ clamp }: Convolution): Activation {
  if (!clamp) return 'none';
  const [low, high] = clamp;
  return low === 0 && high === 6 ? 'relu6' : { low, high };
}

/** Throws the file's error for another convolution than a block has at this place. */
function expectConvolution(
  found: Convolution,
  { kernel, stride, groups }: { kernel: number; stride: number; groups: number },
  place: Place,
): void {
  const text = ([down, right]: readonly number[], [top, left]: readonly number[], s: number) =>
    `${String(down)} × ${String(right)} taps, stride ${String(s)}, padding ${String(top)} and ${String(left)}`;
  const pad = Math.floor((kernel - 1) / 2);
  const expected = `${text([kernel, kernel], [pad, pad], stride)}, ${String(groups)} groups`;
  const got = `${text(found.kernel, found.pad, found.stride)}, ${String(found.groups)} groups`;
  if (expected !== got) throw place.error(expected, got);
}

/** MobileNetV2 is the only such network: the ops have to be its, in order. */
function tflite({ input, ops }: Read<typeof TFLITE>, place: Place): MobileNetConfig {
  const convolutions = ops.filter(({ op }) => /CONV_2D$/.test(op));
  const preset = MOBILENET_PRESETS['mobilenet-v2'];
  const expected = [
    'CONV_2D 2 relu6',
    ...preset.stages
      .flat()
      .flatMap(({ stride, expansion }) => [
        ...(expansion ? ['CONV_2D 1 relu6'] : []),
        `DEPTHWISE_CONV_2D ${String(stride)} relu6`,
        'CONV_2D 1 none',
      ]),
    'CONV_2D 1 relu6',
    'CONV_2D 1 none',
  ];
  const got = convolutions.map(({ op, stride, act }) => `${op} ${String(stride)} ${act ?? 'none'}`);
  const at = expected.findIndex((each, index) => each !== got[index]);
  if (at >= 0 || got.length !== expected.length) {
    const first = at < 0 ? expected.length : at;
    throw place
      .at('ops')
      .error(
        `the convolutions of MobileNetV2, number ${String(first)} ${expected[first] ?? 'none'}`,
        got[first] ?? 'none',
      );
  }
  const padding = convolutions.every((each) => each.padding === 'SAME') ? 'same' : 'symmetric';
  const classes = convolutions.at(-1)?.shape?.[0] ?? preset.classes;
  return { ...preset, imageSize: input, classes, padding, batchNorm: null };
}
