/** Readers of values that somebody else wrote. */
export { brief, field, isObject, parseJson, type Parsed } from './json.js';
export {
  anything,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  Place,
  read,
  readValue,
  record,
  text,
  truth,
  whole,
  type JsonDocument,
  type ObjectOf,
  type Read,
  type Reader,
} from './readers.js';
