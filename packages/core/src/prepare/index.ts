/** The public part of prepare. */
export { prepare } from './prepare.js';
export { printTables } from './print.js';
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
