/**
 * The training methods. To be listed is to be tested: every method here goes through the contract
 * tests.
 */
import { ConfigError, ThimbleError } from '../errors.js';
import type { ModelGraph } from '../ir/graph.js';
import { lookUp } from '../names.js';
import { refined, text, type Reader } from '../schema/index.js';
import { asi } from './asi.js';
import { biasOnly } from './bias-only.js';
import { full } from './full.js';
import { head } from './head.js';
import { hosvd } from './hosvd.js';
import { lastK } from './last-k.js';
import { linears } from './linears.js';
import { lora } from './lora.js';
import { lowRankGradient } from './low-rank-gradient.js';
import { checkWeightRanks } from './low-rank.js';
import { compose } from './compose.js';
import { bind, type BoundMethod, type Method } from './method.js';
import type { Found } from './found.js';
import type { Ranks } from './ranks.js';
import { checkInputRanks } from './tucker-ranks.js';
import { wasi } from './wasi.js';
import { wsi } from './wsi.js';

/** Every training method, by the name that `parseMethod` reads. */
export const METHODS = {
  full,
  head,
  'last-k': lastK,
  'bias-only': biasOnly,
  asi,
  hosvd,
  wsi,
  wasi,
  lora,
  'low-rank-gradient': lowRankGradient,
} as const;

/** Name of a training method. */
export type MethodName = keyof typeof METHODS;

/** Trains everything as it is: what others are compared with, and the default. */
export const PLAIN_METHOD: MethodName = 'full';

/** Takes the least memory of all. */
export const SMALLEST_METHOD: MethodName = 'head';

/**
 * Reads `name` or `name=option` (`last-k=4`), or several of them joined by `+`. Throws
 * UnknownNameError with the nearest name, or ConfigError for a bad option.
 *
 * @param given options that came beside the text, by key (`{layers: 'all'}`): each goes to every
 *   method that has the key and leaves it out. Throws ConfigError when one says something else, or
 *   when none has the key.
 */
export function parseMethod(
  text: string,
  given: Readonly<Record<string, string>> = {},
): BoundMethod {
  const parts = text.split('+').map(partOf);
  for (const key of Object.keys(given)) {
    if (!parts.some(({ method }) => method.keys?.includes(key))) throw misplaced(key, text, given);
  }
  return compose(
    parts.map(({ method, option }) => bindParsed(method, filled(method, option, given))),
  );
}

/** The text of a method that `parseMethod` reads. */
export const methodReader: Reader<string> = refined(text({ most: 1000 }), (method, place) => {
  try {
    parseMethod(method);
  } catch (error) {
    if (!(error instanceof ThimbleError)) throw error;
    const { where, expected, got } = error.parts;
    throw place.error(where === 'method' ? expected : `for ${where} ${expected}`, got);
  }
});

/**
 * Throws ConfigError unless all that was found is such that `model` can have it.
 *
 * @param model dense, with a batch of so many images as one pass has: Tucker ranks are for these
 */
export function checkFound(model: ModelGraph, { ranks }: Found): void {
  if (ranks) checkRanks(model, ranks);
}

function checkRanks(model: ModelGraph, ranks: Ranks): void {
  const all = linears(model, 'all');
  checkWeightRanks(all, ranks.weights);
  checkInputRanks(all, ranks.activations);
}

interface Part {
  readonly method: Method<unknown>;
  readonly option: string | undefined;
}

function partOf(text: string): Part {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  const option = at < 0 ? undefined : text.slice(at + 1);
  const shorthand = /^last-(\d+)$/.exec(name);
  if (shorthand && option === undefined) return { method: lastK, option: shorthand[1] };
  return { method: lookUp<Method<unknown>>('method', name, METHODS), option };
}

/** The option text with the given keys that it leaves out. */
function filled(
  method: Method<unknown>,
  option: string | undefined,
  given: Readonly<Record<string, string>>,
): string | undefined {
  const parts = option === undefined ? [] : option.split(',');
  for (const [key, value] of Object.entries(given)) {
    if (!method.keys?.includes(key)) continue;
    const own = parts.find((part) => part.startsWith(`${key}=`))?.slice(key.length + 1);
    if (own === undefined) parts.push(`${key}=${value}`);
    else if (own !== value) throw contradiction(method, key, own, value);
  }
  return parts.length === 0 ? undefined : parts.join(',');
}

function contradiction(
  method: Method<unknown>,
  key: string,
  own: string,
  value: string,
): ConfigError {
  return new ConfigError({
    where: `method ${method.name}`,
    expected: `one value of ${key}`,
    got: `${own} in its text and ${value} beside it`,
    todo: 'Say it once',
  });
}

function misplaced(
  key: string,
  text: string,
  given: Readonly<Record<string, string>>,
): ConfigError {
  const all: readonly Method<unknown>[] = Object.values(METHODS);
  const names = all.filter((method) => method.keys?.includes(key)).map(({ name }) => name);
  return new ConfigError({
    where: `method ${text}`,
    expected: names.length === 0 ? `no ${key}` : `no ${key}, which belongs to ${names.join(', ')}`,
    got: `${key} ${given[key]}`,
    todo: 'Leave it out, or choose another method',
  });
}

function bindParsed<C>(method: Method<C>, option: string | undefined): BoundMethod {
  return bind(method, method.parse(option));
}
