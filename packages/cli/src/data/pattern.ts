/**
 * Paths that a pattern stands for, where no shell has expanded it (Windows): `*` is any part of a name, `?` one
 * character, `**` any folders. As in shells, hidden names need a dot in the pattern.
 *
 * Own, because what is found has to be sorted and seen through our eyes anyway, and these three signs are all that
 * Windows' shells know.
 */
import { readdirSync, statSync, type Dirent } from 'node:fs';
import { join, parse } from 'node:path';
import { fileError } from '../host/files.js';
import { composed, folded } from './names.js';

export function isPattern(text: string): boolean {
  return /[*?]/.test(text);
}

/** Paths that exist and match, sorted; throws FileError for a folder that cannot be read. */
export function expanded(pattern: string): readonly string[] {
  const { root } = parse(pattern);
  const separators = process.platform === 'win32' ? /[\\/]+/ : /\/+/;
  const parts = pattern.slice(root.length).split(separators);
  let found: readonly string[] = [root];
  for (const part of parts.filter((each) => each !== '')) {
    found = found.flatMap((folder) => matching(folder, part));
  }
  return [...new Set(found)].sort();
}

/** The paths of one part of a pattern in a folder ('' is the current one). */
function matching(folder: string, part: string): readonly string[] {
  if (part === '**') return [folder, ...foldersBelow(folder)];
  const inside = (name: string) => (folder === '' ? name : join(folder, name));
  if (!isPattern(part)) {
    const path = inside(part);
    return statSync(path, { throwIfNoEntry: false }) === undefined ? [] : [path];
  }
  return entriesOf(folder)
    .filter(({ name }) => matches(name, part) && (part.startsWith('.') || !name.startsWith('.')))
    .map(({ name }) => inside(name));
}

function foldersBelow(folder: string): readonly string[] {
  return entriesOf(folder)
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => (folder === '' ? name : join(folder, name)))
    .flatMap((path) => [path, ...foldersBelow(path)]);
}

/** [] for what is no folder. */
function entriesOf(folder: string): readonly Dirent[] {
  const path = folder === '' ? '.' : folder;
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    throw fileError(path, 'a folder that can be read', error);
  }
}

/**
 * Whether a name matches a pattern of `*` and `?`; in either case on Windows. Goes back to the last `*` only, so
 * that the time is at most the product of the lengths.
 */
export function matches(name: string, pattern: string): boolean {
  const spelled = process.platform === 'win32' ? folded : composed;
  const text = Array.from(spelled(name));
  const signs = Array.from(spelled(pattern));
  let at = 0;
  let sign = 0;
  let star: { readonly sign: number; at: number } | null = null;
  while (at < text.length) {
    if (signs[sign] === '*') star = { sign: sign++, at };
    else if (signs[sign] === '?' || signs[sign] === text[at]) {
      at++;
      sign++;
    } else if (star !== null) {
      sign = star.sign + 1;
      at = ++star.at;
    } else return false;
  }
  return signs.slice(sign).every((left) => left === '*');
}
