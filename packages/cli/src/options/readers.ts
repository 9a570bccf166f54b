/**
 * Readers of option texts: each takes what was typed and returns a checked value, or throws
 * InvalidArgumentError with what was expected, which commander turns into a usage error.
 */
import type { MomentumBits } from '@thimble/core';
import { InvalidArgumentError } from 'commander';

/** Bytes of one unit; decimal and binary prefixes. */
const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** `512MB`, `1.5 GiB`, `400000` → bytes. */
export function byteCount(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const unit = match ? match[2].toUpperCase() || 'B' : '';
  if (!match || !Object.hasOwn(UNITS, unit)) {
    throw new InvalidArgumentError('Expected a size as in 512MB (B, KB, MB, GB, KiB, MiB or GiB).');
  }
  return Math.floor(Number(match[1]) * UNITS[unit]);
}

/** `30s`, `10m`, `2h` or `1h30m` → milliseconds. */
export function timeSpan(text: string): number {
  const match = /^(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/i.exec(
    text.trim(),
  );
  const [hours, minutes, seconds] = [1, 2, 3].map((part) => Number(match?.at(part) ?? 0));
  const ms = 1000 * (3600 * hours + 60 * minutes + seconds);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('Expected a time as in 30s, 10m, 2h or 1h30m.');
}

/** A whole number ≥ `least` and ≤ `most`. */
export function wholeNumber(
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? '' : ` and ≤ ${String(most)}`;
  return (text) => {
    const value = /^\d+$/.test(text.trim()) ? Number(text) : NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected a whole number ≥ ${String(least)}${range}.`);
  };
}

/** Bits of each element of a velocity. */
export function momentumBits(text: string): MomentumBits {
  if (text === '8') return 8;
  if (text === '32') return 32;
  throw new InvalidArgumentError('Expected 8 or 32.');
}

/** A number > 0. */
export function positiveNumber(text: string): number {
  const value = decimal(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('Expected a number > 0.');
}

/** A number ≥ 0. */
export function nonNegativeNumber(text: string): number {
  const value = decimal(text);
  if (value >= 0) return value;
  throw new InvalidArgumentError('Expected a number ≥ 0.');
}

/** A number in [0, 1). */
export function fraction(text: string): number {
  const value = decimal(text);
  if (value >= 0 && value < 1) return value;
  throw new InvalidArgumentError('Expected a number from 0 to below 1.');
}

/** A number in (0, 1). */
export function share(text: string): number {
  const value = decimal(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError('Expected a number above 0 and below 1.');
}

/** Where to write; an empty text (a variable that a script did not set) would mean the present folder. */
export function outputPath(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('Expected a path.');
}

/** NaN for anything that is not a plain finite number. */
function decimal(text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  return Number.isFinite(value) ? value : NaN;
}
