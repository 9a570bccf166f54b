/**
 * bias-only: every bias (linear and norm) and the classifier train; all other weights are frozen.
 *
 * Closed form: L·BN((5 + R)D + H + 4) + B(2D + 2). No weight gradient reads a linear's input, so of
 * each block only what the input gradients need is saved: norm inputs with their statistics (2D +
 * 4), qkv (3D) with log-sum-exp (H), and the value before GELU (RD).
 *
 * Reference: Ben Zaken et al., BitFit, ACL 2022; Cai et al., TinyTL, NeurIPS 2020.
 */
import { noConfig } from './options.js';
import type { Method } from './method.js';
import { trainOnly } from './trainable.js';

export const biasOnly: Method<null> = {
  name: 'bias-only',
  summary: 'train the biases and the classifier',
  usage: 'bias-only',
  parse: (text) => noConfig('bias-only', text),
  print: () => 'bias-only',
  forward: (model) =>
    trainOnly(model, (name) => name.endsWith('.bias') || name.startsWith(model.head)),
  neutral: () => null,
};
