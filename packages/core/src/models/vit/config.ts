/**
 * The configuration of a ViT from its tensors. Not in their shapes: the number of heads (64 columns each
 * where nothing says it, as in every published ViT but the giants) and the ε of the layer norms.
 */
import { CheckpointError } from '../../errors.js';
import { agree, classifierOf, countOf, type Configured, type Evidence } from '../evidence.js';
import type { NamingName } from '../naming.js';
import { embeddingOf, oddTensor } from '../transformer-config.js';
import { vitFacts, type VitFacts } from './facts.js';
import { VIT_SIZES } from './describe.js';
import type { VitConfig } from './model.js';

/** Columns of a head where nothing says their number. */
const HEAD_WIDTH = 64;
/** Heads of ViT-g and ViT-G, the published ones with other columns, by width. */
const GIANTS: Readonly<Record<number, number | undefined>> = { 1408: 16, 1664: 16 };

/** The default of each library. */
const EPS: { readonly [N in NamingName]: number } = {
  timm: 1e-6,
  torchvision: 1e-6,
  arch: 1e-6,
  thimble: 1e-6,
  'hugging-face': 1e-12,
};

/** Throws CheckpointError where shapes and facts disagree or a size makes no sense. */
export function vitConfigure(evidence: Evidence<VitConfig>): Configured<VitConfig> {
  const facts = vitFacts(evidence);
  const { width, channels, patch } = embeddingOf(evidence, facts);
  const has = (name: string) => evidence.shape(name) !== null;
  const [classToken, distilled] = [has('cls_token'), has('dist_token')];
  const depth = countOf((index) => has(`blocks.${String(index)}.norm1.weight`));
  const hidden = evidence.shape('blocks.0.mlp.fc1.weight')?.[0] ?? 0;
  const hasMean = has('fc_norm.weight') || !classToken;
  const pooling = hasMean ? 'mean' : 'token';
  agree(evidence, 'depth', facts.depth, depth);
  agree(evidence, 'hidden units', facts.hidden, hidden);
  agree(evidence, 'pooling', facts.pooling, pooling);
  const { classes, hasClassifier } = classifierOf(evidence, 'head.weight', facts.classes);
  const imageSize = gridSide(evidence, Number(classToken) + Number(distilled)) * patch;
  // timm's is the size of its recipe; the position embedding may have been resized since.
  const isRecipe = evidence.naming === 'timm' && evidence.said.from === 'config.json';
  if (!isRecipe) agree(evidence, 'image size', facts.imageSize, imageSize);
  const { heads, guessed } = headsOf(evidence, facts, width);
  const oneHead = distilled && !has('head_dist.weight') && hasClassifier;
  const config: VitConfig = {
    family: 'vit',
    imageSize,
    patch,
    channels,
    width,
    depth,
    heads,
    mlpRatio: hidden / width,
    classes,
    pooling,
    classToken,
    ...(distilled && { distilled }),
    ...(oneHead && { distilledHead: false }),
    layerNormEps: facts.eps ?? EPS[evidence.naming],
  };
  const guess = `the number of heads, ${String(heads)}, is a guess: ${String(HEAD_WIDTH)} columns each`;
  const isPublished = VIT_SIZES[width] !== undefined; // all of them have heads of 64 columns
  return { config, hasClassifier, guesses: guessed && !isPublished ? [guess] : [] };
}

/** Patches along a side of the image. */
function gridSide(evidence: Evidence<VitConfig>, prefix: number): number {
  const rows = evidence.shape('pos_embed')?.[1] ?? 0;
  const grid = Math.sqrt(rows - prefix);
  if (rows > prefix && Number.isInteger(grid)) return grid;
  const tokens = `${String(prefix)} + a square number`;
  throw oddTensor(evidence, 'pos_embed', `[1, ${tokens}, width]`);
}

function headsOf(
  { file, said }: Evidence<VitConfig>,
  { heads }: VitFacts,
  width: number,
): { readonly heads: number; readonly guessed: boolean } {
  if (heads !== undefined) {
    if (width % heads === 0) return { heads, guessed: false };
    throw new CheckpointError({
      where: `${file}, ${said.from}`,
      expected: `a number of heads that divides the width ${String(width)}`,
      got: String(heads),
      todo: 'Correct the file beside the weights',
    });
  }
  const giant = GIANTS[width];
  if (giant !== undefined) return { heads: giant, guessed: false };
  if (width % HEAD_WIDTH === 0) return { heads: width / HEAD_WIDTH, guessed: true };
  throw new CheckpointError({
    where: file,
    expected: `config.json with the number of heads, since ${String(width)} columns are no multiple of ${String(HEAD_WIDTH)}`,
    got: 'none',
    todo: 'Put the config.json of the model beside the weights',
  });
}
