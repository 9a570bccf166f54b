/** The public part of prepare. */
export { emitKnown, type KnownRanksOptions } from './known.js';
export { preparationBytes, type PreparationBytes } from './needs.js';
export { prepare } from './prepare.js';
export { minimumBytes, plainRanks, rankBytes, ranksForBytes } from './spectra.js';
export type { LayerSpectrum, Rank } from './spectra.js';
export { needsImages, tablesReader } from './types.js';
export type {
  ActivationOption,
  ActivationRow,
  ActivationTable,
  PrepareEvent,
  PrepareOptions,
  Preparation,
  PrepareTables,
  RankBudgets,
  WeightRow,
  WeightTable,
} from './types.js';
