/** What tensor names tell of vision transformers that Thimble does not have. */
import type { Reasons } from './reasons.js';

export const TRANSFORMER_REASONS: Reasons = {
  strange: [
    [/\.ls\d\.gamma$|layer_scale|\.gamma(_\d)?$|lambda/, 'layer scale'],
    [/reg_token|register_token/, 'register tokens'],
    [/norm_pre|pre_layrnorm|pre_layernorm/, 'a norm before the blocks'],
    [/\b[qk]_norm/, 'normed queries and keys'],
    [/\b[qv]_bias$/, 'attention of another form'],
    [/rope|freqs|rotary/, 'rotary positions'],
    [/rel_pos|cpb_mlp/, 'relative positions of another form'],
    [/attn_pool|probe/, 'attention pooling'],
    [/pre_logits/, 'a representation layer'],
    [/decoder|mask_token/, 'a decoder of masked images'],
    [/detection_tokens/, 'detection tokens'],
    [/text_model|visual/, 'a text and image model'],
    [/running_mean|running_var/, 'batch norm'],
    [/mlp\.(w12|w3|fc1_g)/, 'a gated MLP'],
  ],
  misplaced: [
    [/[qk]_proj/, 'attention of another form'],
    [/relative_position/, 'relative positions'],
    [/^norm\./, 'a norm before the pooling'],
  ],
  absent: [
    [/(qkv|query|key|value|[qkv]_proj)\.bias$|in_proj_bias$/, 'attention without a bias'],
    [/(patch_embed\.proj|projection|conv_proj)\.bias$/, 'patches without a bias'],
    [/^fc_norm\./, 'a mean of tokens without a norm of its own'],
  ],
};
