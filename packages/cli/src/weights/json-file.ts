/** Small JSON files that came with weights: whoever made them may have made them wrong. */
import { FormatError, megabytes } from '@thimble/core';
import { readFileSync, statSync } from 'node:fs';

/** Larger is no configuration. */
const MAX_BYTES = 4_000_000;

/** The object in a file; null without a file. Throws FormatError. */
export function readJsonObject(path: string): object | null {
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) return null;
  const fail = (expected: string, got: string): FormatError =>
    new FormatError({ where: path, expected, got, todo: 'Correct or download the file again' });
  if (size > MAX_BYTES) throw fail(`at most ${megabytes(MAX_BYTES)}`, megabytes(size));
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw fail('JSON', error instanceof Error ? error.message : 'none');
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  throw fail('a JSON object', Array.isArray(parsed) ? 'an array' : JSON.stringify(parsed));
}
