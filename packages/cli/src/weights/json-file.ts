/** Small JSON files that came with weights: whoever made them may have made them wrong. */
import { FormatError, schema } from '@thimble/core';
import { existsSync } from 'node:fs';
import { readText } from '../files.js';

/** Larger is no configuration. */
const MAX_BYTES = 4_000_000;

/** The object in a file; null without a file. Throws FileError and FormatError. */
export function readJsonObject(path: string): object | null {
  if (!existsSync(path)) return null;
  const json = readText(path, 'JSON', MAX_BYTES);
  const todo = 'Correct or download the file again';
  return schema.read(json, anObject, { file: path, error: FormatError, todo });
}

const anObject: schema.Reader<object> = (value, place) =>
  schema.isObject(value) ? value : place.fail('a JSON object', value);
