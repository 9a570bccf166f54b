/** What the configurations of vision transformers have in common. */

/** What config.json of transformers says of any transformer of ours. */
export function transformersShape(config: {
  readonly imageSize: number;
  readonly patch: number;
  readonly channels: number;
  readonly layerNormEps: number;
}): object {
  return {
    hidden_act: 'gelu',
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    image_size: config.imageSize,
    patch_size: config.patch,
    num_channels: config.channels,
    layer_norm_eps: config.layerNormEps,
    qkv_bias: true,
  };
}
