/** The public part of prepare. */
export { needsImages } from './types.js';
export type {
  ActivationOption,
  ActivationRow,
  ActivationTable,
  PrepareEvent,
  PrepareOptions,
  Prepared,
  PrepareTables,
  WeightRow,
  WeightTable,
} from './types.js';
