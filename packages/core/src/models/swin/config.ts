/**
 * The configuration of a Swin transformer from its tensors. Not in their shapes: the image size (here the one
 * whose last stage is one window, 224 px for a window of 7) and the ε of the layer norms, everywhere 1e-5.
 */
import { agree, classifierOf, countOf, type Configured, type Evidence } from '../evidence.js';
import { embeddingOf, oddTensor } from '../transformer-config.js';
import { swinFacts } from './facts.js';
import type { SwinConfig } from './model.js';

/** Throws CheckpointError where shapes and facts disagree or a size makes no sense. */
export function swinConfigure(evidence: Evidence<SwinConfig>): Configured<SwinConfig> {
  const facts = swinFacts(evidence);
  const { width, channels, patch } = embeddingOf(evidence, facts);
  const { depths, heads, window, lastWindow } = stagesOf(evidence);
  agree(evidence, 'depths', facts.depths?.join(), depths.join());
  agree(evidence, 'heads', facts.heads?.join(), heads.join());
  const { classes, hasClassifier } = classifierOf(evidence, 'head.fc.weight', facts.classes);
  const first = (facts.imageSize ?? Infinity) / patch; // tokens along a side; no window is larger
  const said = facts.window;
  agree(evidence, 'window', said === undefined ? said : Math.min(said, first), window);
  const last = lastWindow * patch * 2 ** (depths.length - 1);
  const hidden = evidence.shape(`${block(0, 0)}.mlp.fc1.weight`)?.[0] ?? 0;
  const config: SwinConfig = {
    family: 'swin',
    imageSize: facts.imageSize ?? last,
    patch,
    channels,
    width,
    depths,
    heads,
    window,
    mlpRatio: ratio(hidden, width, facts.mlpRatio),
    classes,
    layerNormEps: facts.eps ?? 1e-5,
  };
  const guess = `${String(last)} px is a guess: the last stage is one window`;
  return { config, hasClassifier, guesses: facts.imageSize === undefined ? [guess] : [] };
}

interface Stages {
  readonly depths: readonly number[];
  readonly heads: readonly number[];
  readonly window: number;
  /** Of the last stage, which has fewer tokens where images are small. */
  readonly lastWindow: number;
}

function stagesOf(evidence: Evidence<SwinConfig>): Stages {
  const has = (stage: number, index: number) =>
    evidence.shape(`${block(stage, index)}.norm1.weight`) !== null;
  const stages = countOf((stage) => has(stage, 0));
  const depths = Array.from({ length: stages }, (_, stage) =>
    countOf((index) => has(stage, index)),
  );
  const table = (stage: number) =>
    evidence.shape(`${block(stage, 0)}.attn.relative_position_bias_table`);
  const heads = depths.map((_, stage) => table(stage)?.[1] ?? 0);
  const [window, lastWindow] = [0, stages - 1].map(
    (stage) => (Math.sqrt(table(stage)?.[0] ?? 0) + 1) / 2,
  );
  if (Number.isInteger(window) && !heads.includes(0)) return { depths, heads, window, lastWindow };
  const name = `${block(0, 0)}.attn.relative_position_bias_table`;
  throw oddTensor(evidence, name, '[(2w − 1)², heads]');
}

function block(stage: number, index: number): string {
  return `layers.${String(stage)}.blocks.${String(index)}`;
}

/** hidden/width, such that ⌊width · ratio⌋ is `hidden` again. */
function ratio(hidden: number, width: number, said: number | undefined): number {
  if (said !== undefined && Math.floor(width * said) === hidden) return said;
  const quotient = hidden / width;
  return Math.floor(width * quotient) === hidden ? quotient : quotient * (1 + Number.EPSILON);
}
