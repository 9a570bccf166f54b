/**
 * bias-only: every bias (linear and norm) and the classifier train; all other weights are frozen.
 *
 * Closed form: no weight gradient reads a linear's input, so of each block only what the input gradients
 * need is saved: norm inputs with their statistics, qkv with output and log-sum-exp, and the value before
 * GELU.
 *
 * Reference: Ben Zaken et al., BitFit, ACL 2022; Cai et al., TinyTL, NeurIPS 2020.
 */
import { noConfig } from './options.js';
import { trainOnly, type Method } from './method.js';

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
