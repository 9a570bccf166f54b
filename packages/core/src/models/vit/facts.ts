/** What the files beside a ViT's weights, and the weights' own metadata, say of it. */
import { object, optional, readValue, whole } from '../../schema/index.js';
import { CONFIG } from '../documents.js';
import type { Evidence } from '../evidence.js';
import { BLOCKS, HEADS, WIDTH } from '../sizes.js';
import { timmArguments, timmFacts } from '../timm.js';
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
import type { VitConfig } from './model.js';

export interface VitFacts extends TransformerFacts {
  readonly depth?: number | undefined;
  readonly heads?: number | undefined;
  readonly hidden?: number | undefined;
  readonly pooling?: 'token' | 'mean' | undefined;
}

const TRANSFORMERS = object({
  ...TRANSFORMERS_FIELDS,
  hidden_size: optional(WIDTH),
  num_hidden_layers: optional(BLOCKS),
  num_attention_heads: optional(HEADS),
  intermediate_size: optional(whole({ most: 10_000_000 })),
});
const TIMM = object({ ...TIMM_ARGUMENTS, depth: optional(BLOCKS), num_heads: optional(HEADS) });

/** Throws CheckpointError for values that make no sense and for what Thimble's ViT cannot do. */
export function vitFacts({ said, kinds }: Evidence<VitConfig>): VitFacts {
  switch (said.by) {
    case 'thimble': {
      const { width, depth, heads, mlpRatio, pooling } = said.config;
      const hidden = Math.round(width * mlpRatio);
      return { ...ownFacts(said.config), depth, heads, pooling, hidden };
    }
    case 'transformers': {
      const file = readValue(said.file, TRANSFORMERS, CONFIG);
      return {
        ...transformersFacts(file, kinds),
        width: file.hidden_size,
        depth: file.num_hidden_layers,
        heads: file.num_attention_heads,
        hidden: file.intermediate_size,
      };
    }
    case 'timm': {
      checkTimm(said.file, kinds);
      const args = timmArguments(said.file, TIMM) ?? {};
      const { pool } = timmFacts(said.file);
      const pooling = pool === undefined ? undefined : pool === 'avg' ? 'mean' : 'token';
      const { depth, num_heads: heads } = args;
      return { ...timmTransformerFacts(said.file, args), pooling, depth, heads };
    }
    case 'arch':
      return {};
    case 'words':
      return wordFacts(said.words);
    default:
      return said satisfies never;
  }
}
