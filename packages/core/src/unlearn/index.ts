/** The public part of unlearn. */
export { automaticShare, ratioBound } from './dampen.js';
export type { Change, DampenSettings } from './dampen.js';
export { Forgetter, type Changes, type Share } from './forgetter.js';
export { importanceProgram } from './importance.js';
export type { ImportanceOptions, ImportanceSet } from './importance.js';
export { forgettingScores, outcomes } from './outcomes.js';
export type { ForgettingScores, Outcome, Outcomes } from './outcomes.js';
