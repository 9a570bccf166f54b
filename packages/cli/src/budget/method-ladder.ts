/**
 * The texts that a method's text may stand for when a budget decides what it leaves open: the
 * explained variances ε of weights and of activations, from their defaults downward.
 *
 *   wasi                   wasi=0.8,…,activations=0.8 to 0.4; then wasi=0.7,…,activations=0.8 to 0.4; …
 *   wasi=0.8               wasi=0.8,…,activations=0.8 to 0.4
 *   wasi=activations=0.5   wasi=0.8,…,activations=0.5; then wasi=0.7,…,activations=0.5; …
 *   asi                    asi=0.8,… to asi=0.4,…
 *   full, wsi=0.8          themselves
 *
 * Texts are those that a parsed method prints, in which every ε is written out.
 */
import { parseMethod, type RankNeeds } from '@thimble/core';

/** Falling: what the literature tries. */
const EPSILONS = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4] as const;

/**
 * Rows by falling ε of weights, in each row by falling ε of activations. The first text is the
 * method's own.
 *
 * @param given options beside the text, as `parseMethod` takes them
 */
export function methodLadder(
  text: string,
  given: Readonly<Record<string, string>> = {},
): readonly (readonly string[])[] {
  const method = parseMethod(text, given);
  const { weights, activations } = method.needs;
  const said = text.split('+').map((part) => saidIn(part, given));
  const parts = method.text
    .split('+')
    .map((own, index) => ({ text: own, needs: parseMethod(own).needs, said: said[index] }));
  const weightsOpen = parts.some(({ needs, said: own }) => needs.weights && !own.has(FIRST));
  // The first value is the ε of weights where there are any, else that of activations.
  const activationsOpen = parts.some(
    ({ needs, said: own }) => needs.activations && !own.has(needs.weights ? 'activations' : FIRST),
  );
  return downFrom(weights?.epsilon, weightsOpen).map((weight) =>
    downFrom(activations?.epsilon, activationsOpen).map((activation) =>
      parts.map((part) => written(part, weight, activation)).join('+'),
    ),
  );
}

/** Stands for the key of a value that comes without one. */
const FIRST = 'epsilon';

/** The keys of one method that its text says, or what came beside it. */
function saidIn(text: string, given: Readonly<Record<string, string>>): ReadonlySet<string> {
  const [, option = ''] = /^[^=]*=(.*)$/.exec(text) ?? [];
  const pieces = option.split(',').filter((piece) => piece !== '');
  const keys = pieces.map((piece) => (piece.includes('=') ? piece.split('=')[0] : FIRST));
  return new Set([...keys, ...Object.keys(given)]);
}

/** The default and the usual values below it; null where there is none. */
function downFrom(epsilon: number | undefined, open: boolean): readonly (number | null)[] {
  if (epsilon === undefined) return [null];
  return open ? [epsilon, ...EPSILONS.filter((lower) => lower < epsilon)] : [epsilon];
}

function written(
  { text, needs }: { readonly text: string; readonly needs: RankNeeds },
  weight: number | null,
  activation: number | null,
): string {
  const first = needs.weights ? weight : needs.activations ? activation : null;
  if (first === null) return text;
  const led = text.replace(/=[^,]*/, `=${String(first)}`);
  return needs.weights && needs.activations
    ? led.replace(/,activations=[^,]*/, `,activations=${String(activation)}`)
    : led;
}
