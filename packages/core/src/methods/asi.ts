/**
 * asi: the inputs of the blocks' linears are saved for the backward pass in Tucker form, with factors
 * that are refreshed at every step by one warm-started subspace iteration (tucker.ts). Weights,
 * forward pass and dL/dx are exact.
 *
 * Closed form: full training's, with Π r_m elements for each compressed input in the place of
 * Π D_m. States: Σ r_m D_m for each. Of a ViT, layers=mlp compresses norm2 (D wide) and the MLP's
 * hidden layer (RD); layers=all also norm1 and what the attention's projection reads (D each).
 *
 * That is against all that gradients read (`saved: 'all'`). The other forms of saved tensors compute
 * norms and GELU again, and with them these very inputs, from what their own gradients keep anyway: then
 * the cores come on top, and what asi saves is work in dL/dW.
 *
 * Reference: Nguyen et al., ASI, ICML 2025 (arXiv 2505.05086).
 */
import type { Method } from './method.js';
import { compressInputs, startEntries } from './tucker.js';
import {
  neutralTucker,
  parseTucker,
  printTucker,
  tuckerFindings,
  tuckerHolds,
  tuckerOptions,
  tuckerProbe,
  tuckerRanks,
  withTuckerRanks,
  type TuckerConfig,
} from './tucker-config.js';

export const asi: Method<TuckerConfig> = {
  name: 'asi',
  summary: 'train everything, with the saved inputs of linears in a subspace that follows them',
  usage: 'asi=EPSILON,layers=all|mlp',
  keys: ['layers'],
  parse: (text) => parseTucker('asi', text),
  print: (config) => printTucker('asi', config),
  backward: (train, model, config) =>
    compressInputs(train, model, tuckerRanks(model, config), 'whole'),
  entries: (model, config) => startEntries(model, tuckerRanks(model, config)),
  options: tuckerOptions,
  probe: (config) => tuckerProbe(config, 'whole'),
  with: withTuckerRanks,
  findings: tuckerFindings,
  holds: tuckerHolds,
  neutral: neutralTucker,
};
