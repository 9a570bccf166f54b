/**
 * Readers of option texts: each takes what was typed and returns a checked value, or throws
 * InvalidArgumentError with what was expected, which commander turns into a usage error.
 */
import type { MomentumBits } from '@thimble/core';
import { InvalidArgumentError } from 'commander';
import { NUMBERS, type NumberName } from '../library/limits.js';

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

/** Bits of each element of a velocity. */
export function momentumBits(text: string): MomentumBits {
  if (text === '8') return 8;
  if (text === '32') return 32;
  throw new InvalidArgumentError('Expected 8 or 32.');
}

/** Digits, with a sign, a point and an exponent. */
const PLAIN = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** Reads a number that the option `name` may be. */
export function numberFor(name: NumberName): (text: string) => number {
  const allowed = NUMBERS[name];
  return (text) => {
    const value = PLAIN.test(text.trim()) ? Number(text) : NaN;
    if (Number.isFinite(value) && allowed.holds(value)) return value;
    throw new InvalidArgumentError(`Expected ${allowed.text}.`);
  };
}

/** Where to write; an empty text (a variable that a script did not set) would mean the present folder. */
export function outputPath(text: string): string {
  if (text !== '') return text;
  throw new InvalidArgumentError('Expected a path.');
}
