/** What the files beside a Swin transformer's weights, and the weights' own metadata, say of it. */
import { object, optional, readValue } from '../../schema/index.js';
import { CONFIG, side } from '../documents.js';
import type { Evidence } from '../evidence.js';
import { DEPTHS, MLP_RATIO, STAGE_HEADS, WIDTH, WINDOW } from '../sizes.js';
import { timmArguments } from '../timm.js';
import {
  checkTimm,
  ownFacts,
  timmTransformerFacts,
  TIMM_ARGUMENTS,
  TRANSFORMERS_FIELDS,
  transformersFacts,
  wordFacts,
  type TransformerFacts,
} from '../transformer-config.js';
import type { SwinConfig } from './model.js';

export interface SwinFacts extends TransformerFacts {
  readonly depths?: readonly number[] | undefined;
  readonly heads?: readonly number[] | undefined;
  readonly window?: number | undefined;
}

const TRANSFORMERS = object({
  ...TRANSFORMERS_FIELDS,
  embed_dim: optional(WIDTH),
  depths: optional(DEPTHS),
  num_heads: optional(STAGE_HEADS),
  window_size: optional(side(WINDOW)),
  mlp_ratio: optional(MLP_RATIO),
});
const TIMM = object({
  ...TIMM_ARGUMENTS,
  depths: optional(DEPTHS),
  num_heads: optional(STAGE_HEADS),
  window_size: optional(side(WINDOW)),
});

/** Throws CheckpointError for values that make no sense and for what Thimble's Swin cannot do. */
export function swinFacts({ said, kinds }: Evidence<SwinConfig>): SwinFacts {
  switch (said.by) {
    case 'thimble': {
      const { depths, heads, window } = said.config;
      return { ...ownFacts(said.config), depths, heads, window };
    }
    case 'transformers': {
      const file = readValue(said.file, TRANSFORMERS, CONFIG);
      const { embed_dim: width, depths, num_heads: heads, window_size: window } = file;
      const mlpRatio = file.mlp_ratio;
      return { ...transformersFacts(file, kinds), width, depths, heads, window, mlpRatio };
    }
    case 'timm': {
      checkTimm(said.file, kinds);
      const args = timmArguments(said.file, TIMM) ?? {};
      const { depths, num_heads: heads, window_size: window } = args;
      return { ...timmTransformerFacts(said.file, args), depths, heads, window };
    }
    case 'arch':
      return {};
    case 'words': {
      const { eps } = wordFacts(said.words);
      return { eps };
    }
    default:
      return said satisfies never;
  }
}
