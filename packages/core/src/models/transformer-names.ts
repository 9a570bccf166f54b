/** Names that vision transformers share within a library: those of a block, and what is no weight. */
import type { Table } from './naming.js';

/** Of one block, as timm and Thimble call them. */
export const BLOCK = [
  'norm1.*',
  'attn.qkv.*',
  'attn.proj.*',
  'norm2.*',
  'mlp.fc1.*',
  'mlp.fc2.*',
] as const;

/** What transformers puts behind a backbone. */
export const POOLER = /^((vit|deit|swin)\.)?pooler\./;

/**
 * A block as transformers writes it to files.
 *
 * @param inner what holds query, key and value: `self` or `attention`
 */
export function writtenBlock(ours: string, theirs: string, inner: string): Table {
  const attention = `${theirs}.attention.${inner}`;
  return {
    [`${ours}.norm1.*`]: `${theirs}.layernorm_before.*`,
    [`${ours}.attn.qkv.*`]: [`${attention}.query.*`, `${attention}.key.*`, `${attention}.value.*`],
    [`${ours}.attn.proj.*`]: `${theirs}.attention.output.dense.*`,
    [`${ours}.norm2.*`]: `${theirs}.layernorm_after.*`,
    [`${ours}.mlp.fc1.*`]: `${theirs}.intermediate.dense.*`,
    [`${ours}.mlp.fc2.*`]: `${theirs}.output.dense.*`,
  };
}

/** A block as transformers 5 names it in memory. */
export function memoryBlock(ours: string, theirs: string): Table {
  return {
    [`${ours}.norm1.*`]: `${theirs}.layernorm_before.*`,
    [`${ours}.attn.qkv.*`]: ['q_proj', 'k_proj', 'v_proj'].map(
      (part) => `${theirs}.attention.${part}.*`,
    ),
    [`${ours}.attn.proj.*`]: `${theirs}.attention.o_proj.*`,
    [`${ours}.norm2.*`]: `${theirs}.layernorm_after.*`,
    [`${ours}.mlp.fc1.*`]: `${theirs}.mlp.fc1.*`,
    [`${ours}.mlp.fc2.*`]: `${theirs}.mlp.fc2.*`,
  };
}
