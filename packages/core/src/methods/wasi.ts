/**
 * wasi: weights in low-rank form L R (low-rank.ts) and saved inputs in Tucker form (tucker.ts). Both are
 * refreshed at every step by one warm subspace iteration, and the gradient of a weight stays the product
 * pᵀq that the two forms give: neither W nor dL/dW is ever an O×I array. Everything trains.
 *
 * Closed form: asi's. z = x Rᵀ of a factored linear is not saved, since p and q replace dL and dR.
 * Weights and gradients: K(O + I) and r(O + I) elements each for O·I.
 *
 * Departures from the paper, each taken back by itself in a row of `npm run bench:methods`:
 *
 *   R⁺ = L⁺ᵀW⁺ from the new L   as published R comes from the old one, and a dense W is kept beside both
 *   momentum, adamw             move a pair along its tangent space (optim/low-rank.ts); as published there is
 *                               no momentum, and only then is the update the exact iteration on W − ηD
 *   layers=all                  as published, MLPs alone
 *   truncation=data             in the metric of the loss on the user's images; as published, of the weights
 *   refresh=sequential          a mode is refreshed on what the modes before it have left (tucker.ts), for a
 *                               fraction of the work; as published, on the whole input: refresh=whole
 *   activations                 ε is a byte budget, spent where the gradient needs it and only where it saves
 *                               work; as published, each input has its own ranks
 *   saved: 'smallest'           the rest of what is saved is recomputed from block inputs in 8 bits
 *
 * As published, every mode starts from its factor of the last batch. That of the images belonged to other
 * photos, so for it the iteration starts at random; hosvd, which decomposes every input, is its measure.
 *
 * Reference: WASI, ICLR 2026, arXiv 2510.09160.
 */
import { ConfigError } from '../errors.js';
import type { ModelGraph } from '../ir/graph.js';
import { joinFound } from './found.js';
import { factorWeights, lowRanks } from './low-rank.js';
import type { Method } from './method.js';
import { keyValues, shareOf } from './options.js';
import { NO_RANKS, type Ranks, type Refresh } from './ranks.js';
import { compressInputs, startEntries } from './tucker.js';
import {
  tuckerFindings,
  tuckerHolds,
  tuckerOptions,
  tuckerRanks,
  type TuckerConfig,
} from './tucker-config.js';
import { cheaperRanks } from './tucker-cost.js';
import {
  parseWeights,
  printWeights,
  weightClaims,
  weightNeed,
  weightOptions,
  weightRanks,
  type WsiConfig,
} from './wsi.js';

export interface WasiConfig {
  readonly weights: WsiConfig;
  readonly activations: TuckerConfig;
  readonly refresh: WasiRefresh;
}

/** From which tensor a mode's factor is refreshed: the whole input, or what other modes have left of it. */
export type WasiRefresh = Exclude<Refresh, 'decompose'>;

const USUAL_REFRESH = 'sequential';

const KEYS = ['layers', 'truncation', 'activations', 'refresh'] as const;

export const wasi: Method<WasiConfig> = {
  name: 'wasi',
  summary: 'train weights in low-rank form, with the saved inputs in a subspace that follows them',
  usage:
    'wasi=EPSILON,layers=all|mlp,truncation=data|plain,activations=EPSILON,refresh=sequential|whole',
  keys: KEYS,
  parse: parseWasi,
  print: ({ weights, activations, refresh }) =>
    `wasi=${printWeights(weights)},activations=${String(activations.epsilon)}` +
    (refresh === USUAL_REFRESH ? '' : `,refresh=${refresh}`),
  forward: (model, { weights }) =>
    factorWeights(model, { ...NO_RANKS, weights: weightRanks(model, weights) }),
  backward: (train, model, config) =>
    compressInputs(train, model, inputRanks(model, config).ranks, config.refresh),
  entries: (model, config) => startEntries(model, inputRanks(model, config).ranks),
  options: (config) => [
    ...tuckerOptions(config.activations).map(({ choose, ...option }) => ({
      ...option,
      choose: (value: number) => ({ ...config, activations: choose(value) }),
    })),
    ...weightOptions(config.weights).map(({ choose, ...option }) => ({
      ...option,
      choose: (value: number) => ({ ...config, weights: choose(value) }),
    })),
  ],
  probe: ({ weights, activations: { epsilon, layers }, refresh }) => ({
    kind: 'ranks',
    weights: weightNeed(weights),
    activations: { epsilon, layers, refresh: refresh, onlyCheaper: true },
  }),
  with: (config, { ranks }) =>
    ranks
      ? {
          ...config,
          weights: { ...config.weights, ranks: ranks.weights },
          activations: { ...config.activations, ranks: ranks.activations },
        }
      : config,
  findings: (model, config) =>
    joinFound([
      { ranks: { weights: lowRanks(model), activations: {} } },
      tuckerFindings(model, inputRanks(model, config)),
    ]),
  claims: (model, { weights }) => weightClaims(model, weights),
  holds: (model, config) => tuckerHolds(model, inputRanks(model, config)),
  saved: 'smallest',
  // At ε = 1 no rank pays, and every weight and input stays as it is.
  neutral: () => ({ config: parseWasi('1,layers=all') }),
};

/** Without ranks that were found: those of typical inputs, where they save work, as `prepare` chooses. */
function inputRanks(
  model: ModelGraph,
  { activations, refresh }: WasiConfig,
): TuckerConfig & { readonly ranks: Ranks['activations'] } {
  const { ranks } = activations;
  if (ranks) return { ...activations, ranks };
  const typical = tuckerRanks(model, activations);
  return { ...activations, ranks: cheaperRanks(model, typical, refresh) };
}

/** The activations' ε is that of the weights where it is left out. */
function parseWasi(text: string | undefined): WasiConfig {
  const given = keyValues('wasi', text, 'epsilon', KEYS);
  const weights = parseWeights('wasi', given);
  const { activations } = given;
  const epsilon =
    activations === undefined
      ? weights.epsilon
      : shareOf('wasi', 'an explained variance of activations', activations);
  return {
    weights,
    activations: {
      epsilon,
      isOpen: activations === undefined,
      layers: weights.layers,
      ranks: null,
    },
    refresh: refreshOf(given.refresh ?? USUAL_REFRESH),
  };
}

function refreshOf(text: string): WasiRefresh {
  if (text === 'whole' || text === 'sequential') return text;
  throw new ConfigError({
    where: 'method wasi',
    expected: 'refresh=whole or refresh=sequential',
    got: `"${text}"`,
    todo: 'sequential costs less time, whole is as published',
  });
}
