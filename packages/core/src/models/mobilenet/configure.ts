/**
 * The configuration of a network of inverted residuals from its tensors. Strides, activations and padding are not in
 * their shapes: they are those of the published network with the same blocks, or said beside the tensors.
 */
import { CheckpointError } from '../../errors.js';
import { classifierOf, countOf, type Configured, type Evidence } from '../evidence.js';
import { expectOutputsFirst } from '../kernels.js';
import { architectureOf } from './architecture.js';
import { mobileNetFacts } from './facts.js';
import { hasStructure } from './names.js';
import { MOBILENET_PRESETS } from './presets.js';
import type { MobileNetBlock, MobileNetConfig } from './schema.js';

/** Side of the images of published networks. */
const IMAGE_SIZE = 224;

/** Throws CheckpointError where no published network has these blocks and nothing beside the tensors says it. */
export function mobileNetConfigure(
  evidence: Evidence<MobileNetConfig>,
): Configured<MobileNetConfig> {
  const { said, file } = evidence;
  expectOutputsFirst(evidence, 'conv_stem.weight');
  if (said.by === 'thimble' || said.by === 'arch') {
    const config = said.by === 'thimble' ? said.config : architectureOf(said.file, said.from);
    const { classes, hasClassifier } = classifierOf(evidence, 'classifier.weight', config.classes);
    const imageSize = config.imageSize ?? IMAGE_SIZE;
    return { config: { ...config, imageSize, classes }, hasClassifier, guesses: [] };
  }
  const seen = seenIn(evidence);
  const published = Object.values(MOBILENET_PRESETS).find((preset) => hasStructure(seen, preset));
  if (!published || evidence.naming === 'arch') {
    const blocks = `${String(seen.stages.flat().length)} inverted residual blocks`;
    throw new CheckpointError({
      where: file,
      expected: published
        ? 'an arch.json beside the weights, which says padding and activations'
        : `the blocks of ${Object.keys(MOBILENET_PRESETS).join(', ')}, or an arch.json that says strides and activations`,
      got: published ? 'none' : `${blocks} of other kernels or stages`,
      todo: 'Put the arch.json of the model beside the weights, under their name',
    });
  }
  const facts = mobileNetFacts(evidence);
  const { classes, hasClassifier } = classifierOf(evidence, 'classifier.weight', facts.classes);
  const widths = (s: number, b: number): MobileNetBlock => {
    const [own, found] = [published.stages[s][b], seen.stages[s][b]];
    const { expansion, squeeze, width } = found;
    return {
      ...own,
      width,
      expansion: own.expansion && { ...own.expansion, width: expansion?.width ?? 0 },
      squeeze: own.squeeze && { ...own.squeeze, width: squeeze?.width ?? 0 },
    };
  };
  const config: MobileNetConfig = {
    ...published,
    imageSize: facts.imageSize ?? IMAGE_SIZE,
    channels: seen.channels,
    classes,
    padding: facts.padding,
    batchNorm: seen.batchNorm && { eps: facts.eps, momentum: facts.momentum },
    stem: { ...published.stem, width: seen.stem.width },
    stages: published.stages.map((stage, s) => stage.map((_, b) => widths(s, b))),
    tail: published.tail && { ...published.tail, width: seen.tail?.width ?? 0 },
    features: published.features && { ...published.features, width: seen.features?.width ?? 0 },
  };
  const guess = `${String(IMAGE_SIZE)} px is a guess`;
  return { config, hasClassifier, guesses: facts.imageSize === undefined ? [guess] : [] };
}

/** What the shapes of the tensors tell; the rest of the configuration is a placeholder. */
function seenIn(evidence: Evidence<MobileNetConfig>): MobileNetConfig {
  const shape = (name: string) => evidence.shape(`${name}.weight`);
  const layer = (name: string) => ({ width: shape(name)?.[0] ?? 0, activation: 'none' }) as const;
  const block = (s: number, b: number): MobileNetBlock => {
    const name = `blocks.${String(s)}.${String(b)}`;
    const isInverted = shape(`${name}.conv_pwl`) !== null;
    const reduce = shape(`${name}.se.conv_reduce`);
    return {
      kernel: shape(`${name}.conv_dw`)?.[2] ?? 0,
      stride: 1,
      expansion: isInverted ? layer(`${name}.conv_pw`) : null,
      activation: 'none',
      squeeze: reduce && { width: reduce[0], activation: 'none', gate: 'none' },
      width: layer(`${name}.${isInverted ? 'conv_pwl' : 'conv_pw'}`).width,
      projection: 'none',
    };
  };
  const has = (s: number, b: number) => shape(`blocks.${String(s)}.${String(b)}.conv_dw`) !== null;
  const stages = Array.from({ length: countOf((s) => has(s, 0)) }, (_, s) =>
    Array.from({ length: countOf((b) => has(s, b)) }, (_, b) => block(s, b)),
  );
  const last = `blocks.${String(stages.length)}.0.conv`;
  const isV3 = shape(last) !== null;
  const head = shape('conv_head') ? layer('conv_head') : null;
  return {
    ...MOBILENET_PRESETS['mobilenet-v2'],
    channels: shape('conv_stem')?.[1] ?? 0,
    batchNorm: shape('bn1') && { eps: 1, momentum: 1 },
    stem: layer('conv_stem'),
    stages,
    tail: isV3 ? layer(last) : head,
    features: isV3 ? head : null,
  };
}
