/** Learning-rate schedules: pure functions of the step. */
import { ConfigError } from '../errors.js';

/** Learning rate of update number `step`, counted from 0. */
export type Schedule = (step: number) => number;

/** A rate that rises linearly and falls as half a cosine. */
export interface CosineOptions {
  /** Largest learning rate. */
  readonly peak: number;
  /** Updates in the whole run. */
  readonly steps: number;
  /** Updates over which the rate rises linearly to the peak; default 0. */
  readonly warmupSteps?: number;
  /** Rate at the end as a fraction of the peak; default 0. */
  readonly final?: number;
}

/**
 * Linear warm-up, then half a cosine: η(t) = f + (1 − f)·½(1 + cos πt) times the peak.
 *
 * Throws ConfigError for a peak that is not positive or fewer than one step.
 *
 * @example cosine({ peak: 0.01, steps: 1000, warmupSteps: 50 })
 * Reference: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5 (one cycle).
 */
export function cosine(options: CosineOptions): Schedule {
  const { peak, steps, warmupSteps = 0, final = 0 } = options;
  if (!(peak > 0)) throw outside('learning rate', 'a number > 0', peak);
  if (!(steps >= 1)) throw outside('steps', 'at least 1', steps);
  return (step) => {
    if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
    const progress = Math.min(1, (step - warmupSteps) / Math.max(1, steps - warmupSteps));
    return peak * (final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress)));
  };
}

function outside(option: string, expected: string, got: number): ConfigError {
  return new ConfigError({
    where: `schedule, ${option}`,
    expected,
    got: String(got),
    todo: 'Change the option',
  });
}
