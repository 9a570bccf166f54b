/**
 * hosvd: as asi, with the factors of every step from the eigenvectors of the step's own mode Grams
 * (AMC, HOSVD_ε) at fixed ranks. The best subspace each time, without state; costly, for
 * comparison.
 *
 * Closed form: full training's, with Π r_m + Σ r_m D_m elements for each compressed input in the
 * place of Π D_m. The original chooses the ranks anew at every step, so its bytes change; here they
 * are chosen once, as everything has a place before the first step.
 *
 * Reference: Nguyen et al., Activation map compression through tensor decomposition for deep
 * learning, NeurIPS 2024 (arXiv 2411.06346).
 */
import type { Method } from './method.js';
import { compressInputs } from './tucker.js';
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

export const hosvd: Method<TuckerConfig> = {
  name: 'hosvd',
  summary: 'as asi, with the best subspace computed anew at every step (slow)',
  usage: 'hosvd=EPSILON,layers=all|mlp',
  keys: ['layers'],
  parse: (text) => parseTucker('hosvd', text),
  print: (config) => printTucker('hosvd', config),
  backward: (train, model, config) =>
    compressInputs(train, model, tuckerRanks(model, config), 'decompose'),
  options: tuckerOptions,
  probe: (config) => tuckerProbe(config, 'decompose'),
  with: withTuckerRanks,
  findings: tuckerFindings,
  holds: tuckerHolds,
  neutral: neutralTucker,
};
