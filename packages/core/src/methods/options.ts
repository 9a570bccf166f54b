/** Parsing of method options: shared error texts. */
import { ConfigError } from '../errors.js';
import type { Layers } from './ranks.js';

/** For methods without options: throws ConfigError when some are given. */
export function noConfig(method: string, text: string | undefined): null {
  if (text === undefined) return null;
  throw new ConfigError({
    where: `method ${method}`,
    expected: 'no option',
    got: `"=${text}"`,
    todo: `Write ${method} alone`,
    options: ['method'],
  });
}

/**
 * Reads `VALUE,key=value,…`: the leading value without a key is called `first`. Throws ConfigError
 * for a key that is not in `known` or comes twice.
 */
export function keyValues(
  method: string,
  text: string | undefined,
  first: string,
  known: readonly string[],
): Readonly<Record<string, string | undefined>> {
  const result: Record<string, string> = {};
  const parts = text === undefined ? [] : text.split(',');
  parts.forEach((part, index) => {
    const at = part.indexOf('=');
    const key = at < 0 && index === 0 ? first : part.slice(0, Math.max(at, 0));
    if ((key !== first && !known.includes(key)) || key in result) {
      throw new ConfigError({
        where: `method ${method}`,
        expected: `${method}=${first.toUpperCase()} and each of ${known.join(', ')} once, as key=value`,
        got: `"${part}"`,
        todo: `Write, for example, ${method}=0.8,${known[0] ?? first}=…`,
      });
    }
    result[key] = part.slice(at + 1);
  });
  return result;
}

/** A number in (0, 1], such as an explained variance. Throws ConfigError. */
export function shareOf(method: string, what: string, text: string): number {
  const value = text.trim() === '' ? NaN : Number(text);
  if (value > 0 && value <= 1) return value;
  throw new ConfigError({
    where: `method ${method}`,
    expected: `${what} in (0, 1]`,
    got: `"${text}"`,
    todo: 'Lower it for less memory, raise it for more accuracy; 1 keeps everything',
  });
}

/** What the literature tries of explained variances, falling. */
const EPSILONS = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4] as const;

/** An explained variance and the usual ones below it: what a budget may choose from. */
export function epsilonsFrom(epsilon: number): readonly number[] {
  return [epsilon, ...EPSILONS.filter((lower) => lower < epsilon)];
}

/** `mlp` or `all`. Throws ConfigError. */
export function layersOf(method: string, text: string): Layers {
  if (text === 'mlp' || text === 'all') return text;
  throw new ConfigError({
    where: `method ${method}`,
    expected: 'layers=mlp or layers=all',
    got: `"${text}"`,
    todo: 'mlp acts on the linears of the MLPs, all on those of attention as well',
  });
}

/** A number above 0 that is written as `form` says. Throws ConfigError. */
export function positiveOf(method: string, what: string, text: string, form: RegExp): number {
  const value = form.test(text) ? Number(text) : NaN;
  if (value > 0 && Number.isFinite(value)) return value;
  throw new ConfigError({
    where: `method ${method}`,
    expected: `${what} above 0`,
    got: `"${text}"`,
    todo: `Write another, or leave it out: the method ${method} alone has usual values`,
  });
}
