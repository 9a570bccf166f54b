/**
 * Names of classes that are written: into labels.txt, a line each, config.json, and the metadata of weights and of
 * ONNX files. One rule for all of them, so that a name is the same wherever it is read: a line of text, not empty,
 * of at most MOST characters. Names may be equal. What others wrote is read as it is (`labels.ts`).
 */
import { DataError } from '../errors.js';
import { brief } from '../schema/index.js';

/** Characters of a name; labels of ImageNet, synonyms and all, have some 120 at most. */
const MOST = 1000;

/** Control characters and ends of lines. */
const CONTROL = /[\p{Cc}\u2028\u2029]/u;
/** Half of a character beyond the basic plane, which no encoding can write. */
const HALF = /\p{Surrogate}/u;

/**
 * Returns `names`; throws DataError for the first that breaks the rule.
 *
 * @param where they come from, @param todo what helps, for the error
 */
export function checkedClassNames(
  names: readonly string[],
  where: string,
  todo: string,
): readonly string[] {
  const odd = names.findIndex((name) => classNameFault(name) !== null);
  if (odd < 0) return names;
  const fault = classNameFault(names[odd]) ?? '';
  throw new DataError({
    where: `${where}, class ${String(odd)}`,
    expected: `a name in one line, of 1 to ${String(MOST)} characters`,
    got: `${brief(names[odd])}, with ${fault}`,
    todo,
  });
}

/** What makes a name none that can be written; null for nothing. */
export function classNameFault(name: string): string | null {
  if (name.trim() === '') return 'nothing but spaces in it';
  if (name.length > MOST) return `${String(name.length)} characters in it`;
  if (CONTROL.test(name)) return 'control characters or line ends in it';
  return HALF.test(name) ? 'half of a character in it' : null;
}
