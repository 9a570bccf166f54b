/** JSON files that somebody else may have written, or damaged: bounded, and called what they are instead. */
import { FormatError, schema } from '@thimble/core';
import { existsSync } from 'node:fs';
import { readText } from '../host/files.js';
import { notJson } from './content.js';

/** Larger is no configuration. */
const MAX_BYTES = 4_000_000;

/** The object in a file; null without a file. Throws FileError and FormatError. */
export function readJsonObject(path: string): object | null {
  if (!existsSync(path)) return null;
  return parseFile(path, 'JSON', (text) => parseJsonObject(path, text), MAX_BYTES);
}

/** The object that a text stands for. Throws FormatError. @param file what errors call it */
export function parseJsonObject(file: string, text: string): object {
  const todo = 'Correct or download the file again';
  return schema.read(text, anObject, { file, error: FormatError, todo });
}

const anObject: schema.Reader<object> = (value, place) =>
  schema.isObject(value) ? value : place.fail('a JSON object', value);

/**
 * What `parse` makes of a file's text. Throws FileError, what `parse` throws, and FormatError for a file of a kind
 * that is known and other.
 *
 * @param what it is to be, as in `the record of a run`
 */
export function parseFile<T>(
  path: string,
  what: string,
  parse: (text: string) => T,
  mostBytes?: number,
): T {
  const text = readText(path, what, mostBytes);
  try {
    return parse(text);
  } catch (error) {
    throw notJson(path) ?? error;
  }
}
