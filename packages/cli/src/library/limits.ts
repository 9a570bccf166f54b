/** What the numbers among the options may be, in the library and, as texts, in the command. */
import { ConfigError } from '@thimble/core';

/** What no machine and no data set is beyond; larger numbers are slips that would run for ever. */
const MOST = {
  batch: 1_000_000,
  classes: 1_000_000,
  epochs: 1_000_000,
  imageSize: 16_384,
  images: 10_000_000,
  steps: 1_000_000,
  /** Of the native executor. */
  threads: 256,
} as const;

/** Numbers that an option may be. */
interface AllowedNumbers {
  /** In words, as in `a number > 0`. */
  readonly text: string;
  readonly holds: (value: number) => boolean;
}

const POSITIVE: AllowedNumbers = { text: 'a number > 0', holds: (value) => value > 0 };
const NON_NEGATIVE: AllowedNumbers = { text: 'a number ≥ 0', holds: (value) => value >= 0 };
const FRACTION: AllowedNumbers = {
  text: 'a number from 0 to below 1',
  holds: (value) => value >= 0 && value < 1,
};
const SHARE: AllowedNumbers = {
  text: 'a number above 0 and below 1',
  holds: (value) => value > 0 && value < 1,
};

/** By the name of the option. */
export const NUMBERS = {
  batch: whole(1, MOST.batch),
  microBatches: whole(1, MOST.batch),
  slices: whole(1, MOST.batch),
  classes: whole(1, MOST.classes),
  drawnImages: whole(1, MOST.images),
  epochs: whole(1, MOST.epochs),
  imageSize: whole(1, MOST.imageSize),
  steps: whole(1, MOST.steps),
  threads: whole(1, MOST.threads),
  ...{ workers: whole(0), seed: whole(0) },
  ...{ limit: whole(1), saveEvery: whole(1), keepEvery: whole(1), top: whole(1) },
  ...{ lr: POSITIVE, clip: POSITIVE, alpha: POSITIVE, lambda: POSITIVE, time: POSITIVE },
  ...{ warmup: NON_NEGATIVE, weightDecay: NON_NEGATIVE, memory: NON_NEGATIVE },
  ...{ momentum: FRACTION, smoothing: FRACTION, budget: FRACTION, valFraction: SHARE },
} as const satisfies Readonly<Record<string, AllowedNumbers>>;

/** An option that is a number. */
export type NumberName = keyof typeof NUMBERS;

/** Throws ConfigError for the first number of `options` that is out of its range or none. */
export function checkNumbers(options: object): void {
  for (const [name, value] of Object.entries(options) as readonly [string, unknown][]) {
    if (!isNumberName(name) || value === undefined) continue;
    const allowed = NUMBERS[name];
    const isNumber = typeof value === 'number' && Number.isFinite(value);
    if (isNumber && allowed.holds(value)) continue;
    throw new ConfigError({
      where: `option ${name}`,
      expected: allowed.text,
      got: typeof value === 'number' ? String(value) : `a ${typeof value}`,
      todo: 'Give it such a number, or leave it out',
    });
  }
}

function isNumberName(name: string): name is NumberName {
  return Object.hasOwn(NUMBERS, name);
}

function whole(least: number, most = Number.MAX_SAFE_INTEGER): AllowedNumbers {
  const end = most === Number.MAX_SAFE_INTEGER ? '' : ` and ≤ ${String(most)}`;
  return {
    text: `a whole number ≥ ${String(least)}${end}`,
    holds: (value) => Number.isSafeInteger(value) && value >= least && value <= most,
  };
}
