/**
 * The configuration of a checkpoint: sizes from the shapes of its tensors, the rest from what is said
 * beside it (`facts.ts`), and defaults of the libraries for what neither says.
 *
 * Not in the shapes of a ViT: the number of heads (64 columns each where nothing says it, as in every
 * published ViT but the giants) and the ε of its layer norms (timm and torchvision 1e-6, transformers 1e-12; Swin
 * everywhere 1e-5). Not in those of a Swin transformer: the image size (here the one whose last stage is
 * one window, 224 px for a window of 7).
 */
import { CheckpointError } from '../errors.js';
import type { Shape } from '../ir/types.js';
import type { FamilyName, ModelConfig } from '../models/index.js';
import type { NamingName, PlacedLayout } from '../models/naming.js';
import type { SwinConfig } from '../models/swin/model.js';
import type { VitConfig } from '../models/vit/model.js';
import { strangeParts, VIT_SIZES } from './describe.js';
import type { Facts } from './facts.js';
import { placedShape } from './places.js';

export interface Configured {
  readonly config: ModelConfig;
  readonly hasClassifier: boolean;
  /** What was assumed, for the description. */
  readonly guesses: readonly string[];
}

/** Columns of a head where nothing says their number. */
const HEAD_WIDTH = 64;
/** Heads of ViT-g and ViT-G, the published ones with other columns, by width. */
const GIANTS: Readonly<Record<number, number | undefined>> = { 1408: 16, 1664: 16 };
/** Classes in the configuration of a backbone without a classifier. */
const NO_CLASSES = 1000;

/** Throws CheckpointError where shapes and facts disagree or a size makes no sense. */
export function configured(
  family: FamilyName,
  layout: PlacedLayout,
  file: string,
  shapes: ReadonlyMap<string, Shape>,
  facts: Facts,
): Configured {
  const shape = (name: string) => placedShape(layout, shapes, name);
  const view: View = { file, layout, facts, names: [...shapes.keys()], shape };
  if (facts.family !== undefined && facts.family !== family) {
    throw disagree(view, 'architecture', facts.family, family);
  }
  return family === 'swin' ? swinOf(view) : vitOf(view);
}

interface View {
  readonly file: string;
  readonly layout: PlacedLayout;
  readonly facts: Facts;
  /** Of all tensors. */
  readonly names: readonly string[];
  shape(parameter: string): Shape | null;
}

function vitOf(view: View): Configured {
  const { facts } = view;
  const { width, channels, patch } = embedding(view);
  const prefix = ['cls_token', 'dist_token'].filter((name) => view.shape(name) !== null).length;
  const depth = count((index) => view.shape(`blocks.${String(index)}.norm1.weight`) !== null);
  const hidden = view.shape('blocks.0.mlp.fc1.weight')?.[0] ?? 0;
  const classToken = view.shape('cls_token') !== null;
  const distilled = view.shape('dist_token') !== null;
  const twoHeads = view.shape('head_dist.weight') !== null;
  const hasMean = view.shape('fc_norm.weight') !== null || !classToken;
  const pooling = hasMean ? 'mean' : 'token';
  agree(view, 'depth', facts.depth, depth);
  agree(view, 'hidden units', facts.hidden, hidden);
  agree(view, 'pooling', facts.pooling, pooling);
  const { classes, hasClassifier } = classifier(view, 'head.weight');
  const imageSize = gridSide(view, prefix) * patch;
  // timm's is the size of its recipe; the position embedding may have been resized since.
  const isRecipe = view.layout.naming === 'timm' && facts.from === 'config.json';
  if (!isRecipe) agree(view, 'image size', facts.imageSize, imageSize);
  const { heads, guessed } = headsOf(view, width);
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
    ...(distilled && !twoHeads && hasClassifier && { distilledHead: false }),
    layerNormEps: facts.eps ?? VIT_EPS[view.layout.naming],
  };
  const guess = `the number of heads, ${String(heads)}, is a guess: ${String(HEAD_WIDTH)} columns each`;
  const isPublished = VIT_SIZES[width] !== undefined; // all of them have heads of 64 columns
  return { config, hasClassifier, guesses: guessed && !isPublished ? [guess] : [] };
}

const VIT_EPS: { readonly [N in NamingName]: number } = {
  timm: 1e-6,
  torchvision: 1e-6,
  thimble: 1e-6,
  'hugging-face': 1e-12,
};

function swinOf(view: View): Configured {
  const { facts } = view;
  const { width, channels, patch } = embedding(view);
  const block = (stage: number, index: number) => `layers.${String(stage)}.blocks.${String(index)}`;
  const table = (stage: number) =>
    view.shape(`${block(stage, 0)}.attn.relative_position_bias_table`);
  const stages = count((stage) => view.shape(`${block(stage, 0)}.norm1.weight`) !== null);
  const depths = Array.from({ length: stages }, (_, stage) =>
    count((index) => view.shape(`${block(stage, index)}.norm1.weight`) !== null),
  );
  const heads = depths.map((_, stage) => table(stage)?.[1] ?? 0);
  const [window, lastWindow] = [0, stages - 1].map(
    (stage) => (Math.sqrt(table(stage)?.[0] ?? 0) + 1) / 2,
  );
  if (!Number.isInteger(window) || heads.includes(0)) {
    throw oddTensor(
      view,
      'layers.0.blocks.0.attn.relative_position_bias_table',
      '[(2w − 1)², heads]',
    );
  }
  agree(view, 'depths', facts.depths?.join(), depths.join());
  agree(view, 'heads', facts.stageHeads?.join(), heads.join());
  const { classes, hasClassifier } = classifier(view, 'head.fc.weight');
  const said = facts.window;
  const first = (facts.imageSize ?? Infinity) / patch; // tokens along a side; no window is larger
  agree(view, 'window', said === undefined ? said : Math.min(said, first), window);
  const last = lastWindow * patch * 2 ** (stages - 1);
  const hidden = view.shape(`${block(0, 0)}.mlp.fc1.weight`)?.[0] ?? 0;
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

function embedding(view: View): { width: number; channels: number; patch: number } {
  const shape = view.shape('patch_embed.proj.weight') ?? [];
  const [width, channels, patch, columns] = shape;
  if (shape.length !== 4 || channels !== 3 || patch !== columns || shape.includes(0)) {
    throw oddTensor(view, 'patch_embed.proj.weight', '[width, 3, patch, patch] for colour images');
  }
  agree(view, 'width', view.facts.width, width);
  agree(view, 'channels', view.facts.channels, channels);
  agree(view, 'patch', view.facts.patch, patch);
  return { width, channels, patch };
}

function classifier(view: View, name: string): { classes: number; hasClassifier: boolean } {
  const classes = view.shape(name)?.[0];
  if (classes === undefined) return { classes: NO_CLASSES, hasClassifier: false };
  agree(view, 'classes', view.facts.classes, classes);
  return { classes, hasClassifier: true };
}

/** Patches along a side of the image. */
function gridSide(view: View, prefix: number): number {
  const rows = view.shape('pos_embed')?.[1] ?? 0;
  const grid = Math.sqrt(rows - prefix);
  if (rows > prefix && Number.isInteger(grid)) return grid;
  const tokens = `${String(prefix)} + a square number`;
  throw oddTensor(view, 'pos_embed', `[1, ${tokens}, width]`);
}

function headsOf(view: View, width: number): { heads: number; guessed: boolean } {
  const { heads, from } = view.facts;
  if (heads !== undefined) {
    if (width % heads === 0) return { heads, guessed: false };
    throw new CheckpointError({
      where: `${view.file}, ${from ?? ''}`,
      expected: `a number of heads that divides the width ${String(width)}`,
      got: String(heads),
      todo: 'Correct the file beside the weights',
    });
  }
  const giant = GIANTS[width];
  if (giant !== undefined) return { heads: giant, guessed: false };
  if (width % HEAD_WIDTH === 0) return { heads: width / HEAD_WIDTH, guessed: true };
  throw new CheckpointError({
    where: view.file,
    expected: `config.json with the number of heads, since ${String(width)} columns are no multiple of ${String(HEAD_WIDTH)}`,
    got: 'none',
    todo: 'Put the config.json of the model beside the weights',
  });
}

/** hidden/width, such that ⌊width · ratio⌋ is `hidden` again. */
function ratio(hidden: number, width: number, said: number | undefined): number {
  if (said !== undefined && Math.floor(width * said) === hidden) return said;
  const quotient = hidden / width;
  return Math.floor(width * quotient) === hidden ? quotient : quotient * (1 + Number.EPSILON);
}

/** How many of 0, 1, … there are. */
function count(exists: (index: number) => boolean): number {
  let index = 0;
  while (exists(index)) index++;
  return index;
}

function agree<T extends number | string>(
  view: View,
  what: string,
  said: T | undefined,
  found: T,
): void {
  if (said !== undefined && said !== found) throw disagree(view, what, String(said), String(found));
}

function disagree(view: View, what: string, said: string, found: string): CheckpointError {
  return new CheckpointError({
    where: view.file,
    expected: `${what} ${said}, as ${view.facts.from ?? 'the file beside it'} says`,
    got: `${found} in the tensors`,
    todo: 'Use the files of one and the same model',
  });
}

function oddTensor(view: View, name: string, expected: string): CheckpointError {
  const shape = view.shape(name);
  const strange = strangeParts(view.names);
  const got = shape ? `[${shape.join(', ')}]` : 'none';
  return new CheckpointError({
    where: `${view.file}, tensor ${name}`,
    expected: `shape ${expected}`,
    got: strange === '' ? got : `${got} in a model with ${strange}`,
    todo: 'Thimble reads ViT, DeiT and Swin transformers on square images',
  });
}
