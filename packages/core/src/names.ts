/** Look-up of names that people type, with the nearest known name in the error. */
import { UnknownNameError } from './errors.js';

/** The entry of `table` called `name`. Throws UnknownNameError with the nearest name. */
export function lookUp<T>(kind: string, name: string, table: Readonly<Record<string, T>>): T {
  const names = Object.keys(table);
  if (Object.hasOwn(table, name)) return table[name];
  const near = nearest(name, names);
  throw new UnknownNameError({
    where: kind,
    expected: `one of ${names.join(', ')}`,
    got: `"${name}"`,
    todo: near === null ? 'Choose one of them' : `The nearest is "${near}"`,
  });
}

/** The name of `names` that is closest to `name`, if any is close. */
export function nearest(name: string, names: Iterable<string>): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.ceil(name.length / 3)) + 1;
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) >= least) continue; // no nearer than that
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), least);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Letters to change, leave out or put in; once it cannot be below `most`, some number from `most`. */
function editDistance(a: string, b: string, most: number): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const distance = Math.min(substitution, row[j] + 1, next[j - 1] + 1);
      next.push(distance);
      least = Math.min(least, distance);
    }
    if (least >= most) return least;
    row = next;
  }
  return row[b.length];
}
