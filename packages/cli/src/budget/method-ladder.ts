/**
 * The texts that a method's text may stand for when a budget decides what it leaves open: the
 * explained variances ε of weights and of activations, from their defaults downward.
 *
 *   wasi                   wasi=0.8,…,activations=0.8 to 0.4; then wasi=0.7,…,activations=0.8 to 0.4; …
 *   wasi=0.8               wasi=0.8,…,activations=0.8 to 0.4
 *   wasi=activations=0.5   wasi=0.8,…,activations=0.5; then wasi=0.7,…,activations=0.5; …
 *   asi                    asi=0.8,… to asi=0.4,…
 *   full, wsi=0.8          themselves
 */
import { parseMethod, type BoundMethod } from '@thimble/core';

/**
 * What the method's open options may be chosen to be: rows by the one that is given up last, in each row by
 * the others. The first text is the method's own.
 *
 * @param given options beside the text, as `parseMethod` takes them
 */
export function methodLadder(
  text: string,
  given: Readonly<Record<string, string>> = {},
): readonly (readonly string[])[] {
  const method = parseMethod(text, given);
  const last = method.options.at(-1);
  if (!last || method.options.length === 1) return [choices(method).map(({ text: own }) => own)];
  return last.values.map((value) => choices(last.choose(value)).map(({ text: own }) => own));
}

/** All that the open options leave, by falling values of the one that is given up last. */
function choices(method: BoundMethod): readonly BoundMethod[] {
  const last = method.options.at(-1);
  if (!last) return [method];
  return last.values.flatMap((value) => choices(last.choose(value)));
}
