/** What the files and the metadata of a checkpoint are called in errors, and readers that only these need. */
import { CheckpointError } from '../errors.js';
import { list, type JsonDocument, type Reader } from '../schema/index.js';

const error = CheckpointError;
const todo = 'Correct the file, or leave it away where the tensors say enough';

export const CONFIG: JsonDocument = { file: 'config.json', error, todo };
export const PREPROCESSOR: JsonDocument = { file: 'preprocessor_config.json', error, todo };

/** An entry of a safetensors file's metadata. */
export function metadataEntry(key: string): JsonDocument {
  return { file: `metadata ${key}`, error, todo };
}

/** undefined where there is nothing, or null: transformers and timm write null for what is not set. */
export function unset<T>(reader: Reader<T>): Reader<T | undefined> {
  return (value, place) =>
    value === undefined || value === null ? undefined : reader(value, place);
}

/** A number, or a list whose last two are equal ([3, 224, 224]): the side of a square. */
export function side(reader: Reader<number>): Reader<number> {
  const sides = list(reader, { least: 1, most: 4 });
  return (value, place) => {
    if (!Array.isArray(value)) return reader(value, place);
    const [height, width = height] = sides(value, place).slice(-2);
    return height === width ? height : place.fail('a square', value);
  };
}
