/**
 * The methods that a budget may choose from: a method with the values that its text leaves open, as they
 * are and downward (`BoundMethod.options`).
 *
 *   wasi                   wasi=0.8,…,activations=0.8 to 0.4; then wasi=0.7,…,activations=0.8 to 0.4; …
 *   wasi=0.8               wasi=0.8,…,activations=0.8 to 0.4
 *   wasi=activations=0.5   wasi=0.8,…,activations=0.5
 *                          wasi=0.7,…,activations=0.5; …
 *   asi                    asi=0.8,… to asi=0.4,…
 *   full, wsi=0.8          themselves
 */
import type { BoundMethod, OptionAxis } from '@thimble/core';

/**
 * Rows by falling values of weights; in each row by falling values of activations, for each of these by those of
 * updates. The first is the method as it is.
 */
export function methodLadder(method: BoundMethod): readonly (readonly BoundMethod[])[] {
  return chosenAlong('weights', method).map((row) =>
    chosenAlong('activations', row).flatMap((rung) => chosenAlong('updates', rung)),
  );
}

/** The method with every value of what is open along an axis. */
function chosenAlong(axis: OptionAxis, method: BoundMethod): readonly BoundMethod[] {
  const open = method.options.find((option) => option.axis === axis);
  if (!open) return [method];
  return open.values.flatMap((value) => chosenAlong(axis, open.choose(value)));
}
