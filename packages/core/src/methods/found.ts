/**
 * Probe → found: what a method asks to be measured before training, and the plain data that comes of it. What
 * was found configures the method (`Method.with`), is kept with the run, and reproduces the program.
 *
 * A new kind of probe is a member of `Probe`, its result a member of `Found` with its reader here, and its
 * measurement a line of `prepare`.
 */
import { objectOf, optional, type Reader } from '../schema/index.js';
import {
  NO_RANKS,
  ranksReader,
  type ActivationNeed,
  type Ranks,
  type WeightNeed,
} from './ranks.js';

/** What is to be measured. */
export type Probe = RankProbe;

/** Sizes of factored forms, from the spectra of weights and of inputs. */
export interface RankProbe {
  readonly kind: 'ranks';
  /** null: no weight is factored. */
  readonly weights: WeightNeed | null;
  /** null: no input is compressed. */
  readonly activations: ActivationNeed | null;
}

/** What was found, by the kind of probe. */
export interface Found {
  readonly ranks?: Ranks;
}

/** Findings that are some; whether a model can have them says `checkFound`. */
export const foundReader: Reader<Found> = objectOf<Found>({ ranks: optional(ranksReader) });

/** The ranks found; none where nothing was factored. */
export function foundRanks({ ranks }: Found): Ranks {
  return ranks ?? NO_RANKS;
}

/** What is not said twice: findings of several methods in one. */
export function joinFound(all: readonly Found[]): Found {
  const ranks = all.flatMap((found) => found.ranks ?? []);
  if (ranks.length === 0) return {};
  return {
    ranks: ranks.reduce((joined, { weights, activations }) => ({
      weights: { ...joined.weights, ...weights },
      activations: { ...joined.activations, ...activations },
    })),
  };
}
