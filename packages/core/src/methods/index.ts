/**
 * The training methods. To be listed is to be tested: every method here goes through the contract
 * tests.
 */
import { lookUp } from '../names.js';
import { biasOnly } from './bias-only.js';
import { full } from './full.js';
import { head } from './head.js';
import { lastK } from './last-k.js';
import { bind, compose, type BoundMethod, type Method } from './method.js';

export const METHODS = {
  full,
  head,
  'last-k': lastK,
  'bias-only': biasOnly,
} as const;

export type MethodName = keyof typeof METHODS;

/**
 * Reads `name` or `name=option` (`last-k=4`), or several of them joined by `+`. Throws
 * UnknownNameError with the nearest name, or ConfigError for a bad option.
 */
export function parseMethod(text: string): BoundMethod {
  return compose(text.split('+').map(parseOne));
}

function parseOne(text: string): BoundMethod {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  const option = at < 0 ? undefined : text.slice(at + 1);
  const shorthand = /^last-(\d+)$/.exec(name);
  if (shorthand && option === undefined) return bindParsed(lastK, shorthand[1]);
  const method = lookUp<Method<unknown>>('method', name, METHODS);
  return bindParsed(method, option);
}

function bindParsed<C>(method: Method<C>, option: string | undefined): BoundMethod {
  return bind(method, method.parse(option));
}
