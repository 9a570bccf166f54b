/**
 * full: every parameter trains. Saving: none; it is the yardstick of the other methods.
 *
 * Closed form: L·BN((8 + 2R)D + H + 4) + B(2D + 2) + B·M·P. Of each block: its input, norm1, norm2,
 * the attention's output and the first residual sum (5D), qkv (3D), the MLP's hidden layer before
 * and after GELU (2RD), log-sum-exp (H), mean and 1/σ of two norms (4); then the final norm's
 * input, output and statistics for the token that is classified, and the patches.
 */
import { noConfig } from './options.js';
import type { Method } from './method.js';

export const full: Method<null> = {
  name: 'full',
  summary: 'train every parameter',
  usage: 'full',
  parse: (text) => noConfig('full', text),
  print: () => 'full',
  neutral: () => ({ config: null }),
};
