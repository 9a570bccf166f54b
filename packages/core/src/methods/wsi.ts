/**
 * wsi: the weights of the blocks' linears in low-rank form L R (low-rank.ts), everything trains; a pair
 * is updated by one warm subspace iteration or along its tangent space (optim/low-rank.ts). Inputs are saved as they are.
 *
 * Closed form: full training's and z = x Rᵀ of every factored linear: + L·BN(K₁ + K₂) for MLPs with
 * ranks K₁, K₂. What is saved is weights, gradients and optimiser state: K(O + I) instead of O·I each.
 *
 * Departure from the paper: the truncation is in the metric of the data unless `truncation=plain`, which
 * at the same K loses a third of the output's energy or less; weights whose rank would not pay stay dense.
 *
 * Reference: WASI, arXiv 2510.09160, section 3 and algorithm 1 (WSI), with R⁺ = L⁺ᵀW⁺ from the new L.
 */
import type { ModelGraph } from '../ir/graph.js';
import { ConfigError } from '../errors.js';
import { factorWeights, lowRanks, typicalWeightRanks } from './low-rank.js';
import type { Claims, Method, OpenOption } from './method.js';
import { epsilonsFrom, keyValues, layersOf, shareOf } from './options.js';
import { NO_RANKS, type Ranks, type Truncation, type WeightNeed } from './ranks.js';

export interface WsiConfig extends WeightNeed {
  /** The explained variance was not said: a budget may lower it. */
  readonly isOpen: boolean;
  /** null until they are found: those of a typical spectrum, for plans without weights. */
  readonly ranks: Ranks['weights'] | null;
}

/** What stands for options that are left out. */
const WEIGHT_DEFAULTS = { epsilon: '0.8', layers: 'all', truncation: 'data' } as const;

export const wsi: Method<WsiConfig> = {
  name: 'wsi',
  summary: `train weights in low-rank form (default explained variance ${WEIGHT_DEFAULTS.epsilon})`,
  usage: 'wsi=EPSILON,layers=all|mlp,truncation=data|plain',
  keys: ['layers', 'truncation'],
  parse: (text) => {
    const given = keyValues('wsi', text, 'epsilon', ['layers', 'truncation']);
    return parseWeights('wsi', given);
  },
  print: (config) => `wsi=${printWeights(config)}`,
  forward: (model, config) =>
    factorWeights(model, { ...NO_RANKS, weights: weightRanks(model, config) }),
  options: weightOptions,
  probe: (config) => ({ kind: 'ranks', weights: weightNeed(config), activations: null }),
  with: (config, { ranks }) => (ranks ? { ...config, ranks: ranks.weights } : config),
  findings: (model) => ({ ranks: { weights: lowRanks(model), activations: {} } }),
  claims: weightClaims,
  // At ε = 1 no rank pays, and every weight stays dense.
  neutral: () => ({ config: parseWeights('wsi', { epsilon: '1', layers: 'all' }) }),
};

/** The weights' part of a method's options. */
export function parseWeights(
  method: string,
  given: Readonly<Record<string, string | undefined>>,
): WsiConfig {
  const { epsilon, layers, truncation } = { ...WEIGHT_DEFAULTS, ...given };
  return {
    epsilon: shareOf(method, 'an explained variance', epsilon),
    isOpen: given.epsilon === undefined,
    layers: layersOf(method, layers),
    truncation: truncationOf(method, truncation),
    ranks: null,
  };
}

export function printWeights({ epsilon, layers, truncation }: WsiConfig): string {
  return `${String(epsilon)},layers=${layers},truncation=${truncation}`;
}

export function weightNeed({ epsilon, layers, truncation }: WsiConfig): WeightNeed {
  return { epsilon, layers, truncation };
}

export function weightOptions(config: WsiConfig): readonly OpenOption<WsiConfig>[] {
  if (!config.isOpen) return [];
  const choose = (epsilon: number): WsiConfig => ({ ...config, epsilon, isOpen: false });
  return [{ axis: 'weights', values: epsilonsFrom(config.epsilon), choose }];
}

/** What is to become low-rank, while it is dense; what was made low-rank is no longer asked for. */
export function weightClaims(model: ModelGraph, config: WsiConfig): Claims {
  return { forms: Object.keys(weightRanks(model, config)) };
}

export function weightRanks(model: ModelGraph, config: WsiConfig): Ranks['weights'] {
  return config.ranks ?? typicalWeightRanks(model, config.epsilon, config.layers);
}

function truncationOf(method: string, text: string): Truncation {
  if (text === 'plain' || text === 'data') return text;
  throw new ConfigError({
    where: `method ${method}`,
    expected: 'truncation=data or truncation=plain',
    got: `"${text}"`,
    todo: 'data keeps what the loss on your images feels, plain what is large in the weights',
  });
}
