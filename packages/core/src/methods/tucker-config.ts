/** The configuration of the methods that hold activations in Tucker form and nothing else. */
import type { ModelGraph } from '../ir/graph.js';
import { keyValues, layersOf, shareOf } from './options.js';
import type { Layers, RankNeeds, Ranks } from './ranks.js';
import { typicalRanks } from './tucker-ranks.js';

export interface TuckerConfig {
  /** Explained variance of each mode, in (0, 1]. */
  readonly epsilon: number;
  readonly layers: Layers;
  /** null until they are found: those of a typical spectrum, for plans without images. */
  readonly ranks: Ranks['activations'] | null;
}

const DEFAULT_EPSILON = '0.8';

export function parseTucker(method: string, text: string | undefined): TuckerConfig {
  const { epsilon = DEFAULT_EPSILON, layers = 'all' } = keyValues(method, text, 'epsilon', [
    'layers',
  ]);
  return {
    epsilon: shareOf(method, 'an explained variance', epsilon),
    layers: layersOf(method, layers),
    ranks: null,
  };
}

export function printTucker(method: string, { epsilon, layers }: TuckerConfig): string {
  return `${method}=${String(epsilon)},layers=${layers}`;
}

export function tuckerNeeds({ epsilon, layers }: TuckerConfig): RankNeeds {
  return { weights: null, activations: { epsilon, layers } };
}

export function withTuckerRanks(config: TuckerConfig, { activations }: Ranks): TuckerConfig {
  return { ...config, ranks: activations };
}

export function tuckerRanks(model: ModelGraph, config: TuckerConfig): Ranks['activations'] {
  return config.ranks ?? typicalRanks(model, config.epsilon, config.layers);
}

/** At ε = 1 every rank is full and every input stays as it is. */
export function neutralTucker(): { readonly config: TuckerConfig } {
  return { config: { epsilon: 1, layers: 'all', ranks: null } };
}
