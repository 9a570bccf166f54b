/** The configuration of the methods that hold activations in Tucker form and nothing else. */
import type { ModelGraph } from '../ir/graph.js';
import type { Found, Probe } from './found.js';
import type { OpenOption } from './method.js';
import { epsilonsFrom, keyValues, layersOf, shareOf } from './options.js';
import type { Layers, Ranks, Refresh } from './ranks.js';
import { effectiveRanks, typicalRanks } from './tucker-ranks.js';

export interface TuckerConfig {
  /** Explained variance of each mode, in (0, 1]. */
  readonly epsilon: number;
  /** The explained variance was not said: a budget may lower it. */
  readonly isOpen: boolean;
  readonly layers: Layers;
  /** null until they are found: those of a typical spectrum, for plans without images. */
  readonly ranks: Ranks['activations'] | null;
}

const DEFAULT_EPSILON = '0.8';

export function parseTucker(method: string, text: string | undefined): TuckerConfig {
  const { epsilon, layers = 'all' } = keyValues(method, text, 'epsilon', ['layers']);
  return {
    epsilon: shareOf(method, 'an explained variance', epsilon ?? DEFAULT_EPSILON),
    isOpen: epsilon === undefined,
    layers: layersOf(method, layers),
    ranks: null,
  };
}

export function printTucker(method: string, { epsilon, layers }: TuckerConfig): string {
  return `${method}=${String(epsilon)},layers=${layers}`;
}

export function tuckerProbe({ epsilon, layers }: TuckerConfig, refresh: Refresh): Probe {
  const activations = { epsilon, layers, refresh, onlyCheaper: false };
  return { kind: 'ranks', weights: null, activations };
}

export function tuckerOptions(config: TuckerConfig): readonly OpenOption<TuckerConfig>[] {
  if (!config.isOpen) return [];
  const choose = (epsilon: number): TuckerConfig => ({ ...config, epsilon, isOpen: false });
  return [{ axis: 'activations', values: epsilonsFrom(config.epsilon), choose }];
}

export function withTuckerRanks(config: TuckerConfig, { ranks }: Found): TuckerConfig {
  return ranks ? { ...config, ranks: ranks.activations } : config;
}

/** Found or typical; those of inputs that are compressed. */
export function tuckerFindings(model: ModelGraph, config: TuckerConfig): Found {
  return { ranks: { weights: {}, activations: usedRanks(model, config) } };
}

/** The linears whose inputs are compressed. */
export function tuckerHolds(model: ModelGraph, config: TuckerConfig): readonly string[] {
  return Object.keys(usedRanks(model, config));
}

function usedRanks(model: ModelGraph, config: TuckerConfig): Ranks['activations'] {
  return effectiveRanks(model, tuckerRanks(model, config));
}

export function tuckerRanks(model: ModelGraph, config: TuckerConfig): Ranks['activations'] {
  return config.ranks ?? typicalRanks(model, config.epsilon, config.layers);
}

/** At ε = 1 every rank is full and every input stays as it is. */
export function neutralTucker(): { readonly config: TuckerConfig } {
  return { config: { epsilon: 1, isOpen: false, layers: 'all', ranks: null } };
}
