/**
 * Readers of values that somebody else wrote (JSON files, answers of a server): one way of checking all of
 * them. A reader takes a value and the place where it stands, and returns the value with its type, or throws
 * the file's error with the place, what was expected and what came instead:
 *
 *   const ranks: Reader<Ranks> = object({
 *     weights: record(whole({ most: 1e5 })),
 *     activations: record(list(whole({ most: 1e5 }), { most: 8 })),
 *   });
 *   read(text, ranks, { file: 'ranks.json', error: FormatError, todo: 'Use the file as it was written' });
 *
 * Readers are total: of a value that passed, nothing is left to doubt. Every number has bounds and every list
 * a length, since what is read here decides what is allocated later. Keys that no reader asks for are left
 * out of the result.
 */
import { type ErrorParts, type ThimbleError } from '../errors.js';
import { brief, isObject, parseJson } from './json.js';

/** What a value was read from, and how its errors are made. */
export interface JsonDocument {
  /** What errors call it: `runs/photos-1/run.json`, `metadata preprocess`. */
  readonly file: string;
  readonly error: new (parts: ErrorParts) => ThimbleError;
  /** What the reader of an error can do. */
  readonly todo: string;
}

/** Where a value stands in what it was read from. */
export class Place {
  private readonly document: JsonDocument;
  /** Keys down to the value, as in `model.config.depth`; '' for the whole. */
  private readonly path: string;

  constructor(document: JsonDocument, path = '') {
    this.document = document;
    this.path = path;
  }

  /** The place of a field or an element within this one. */
  at(key: string | number): Place {
    const name = typeof key === 'number' ? `[${String(key)}]` : key.slice(0, MAX_KEY);
    const joint = this.path === '' || typeof key === 'number' ? '' : '.';
    return new Place(this.document, `${this.path}${joint}${name}`);
  }

  /** Throws the file's error. @param value what came; as it is where it is a Fault */
  fail(expected: string, value: unknown): never {
    throw this.error(expected, brief(value));
  }

  /** The file's error with this text of what came. */
  error(expected: string, got: string): ThimbleError {
    const { file, error: Kind, todo } = this.document;
    const where = this.path === '' ? file : `${file}, ${this.path}`;
    return new Kind({ where, expected, got, todo });
  }
}

/** Characters of a key in a message. */
const MAX_KEY = 60;

/** Returns the value as a T or throws at `place`. */
export type Reader<T> = (value: unknown, place: Place) => T;

/** What a reader returns. */
export type Read<R> = R extends Reader<infer T> ? T : never;

/** The value that a JSON text stands for, read. Throws `document.error`. */
export function read<T>(text: string, reader: Reader<T>, document: JsonDocument): T {
  const place = new Place(document);
  const parsed = parseJson(text);
  if ('fault' in parsed) throw place.error('JSON', parsed.fault);
  return reader(parsed.value, place);
}

/** A value that was parsed before, read. */
export function readValue<T>(value: unknown, reader: Reader<T>, document: JsonDocument): T {
  return reader(value, new Place(document));
}

type Readers = Readonly<Record<string, Reader<unknown>>>;
type OptionalKey<F extends Readers> = {
  [K in keyof F]: undefined extends Read<F[K]> ? K : never;
}[keyof F];
/** The object that readers of its fields make; a field is optional where its reader is. */
export type ObjectOf<F extends Readers> = {
  readonly [K in Exclude<keyof F, OptionalKey<F>>]: Read<F[K]>;
} & { readonly [K in OptionalKey<F>]?: Exclude<Read<F[K]>, undefined> };

/** An object with these fields. */
export function object<F extends Readers>(fields: F): Reader<ObjectOf<F>> {
  // The entries are what `fields` says; TypeScript cannot follow a loop over keys.
  return (value, place) => readFields(fields, value, place) as ObjectOf<F>;
}

/** @param fields a reader for each key */
function readFields(fields: object, value: unknown, place: Place): object {
  if (!isObject(value)) return place.fail('an object', value);
  const readers: readonly (readonly [string, Reader<unknown>])[] = Object.entries(fields);
  const entries = readers.flatMap(([key, reader]) => {
    const found = reader(Object.hasOwn(value, key) ? value[key] : undefined, place.at(key));
    return found === undefined ? [] : [[key, found] as const];
  });
  // In the order of the document, so that what is written again has the same bytes.
  const found = new Map(entries);
  const keys = new Set([...Object.keys(value).filter((key) => found.has(key)), ...found.keys()]);
  return Object.fromEntries([...keys].map((key) => [key, found.get(key)]));
}

/** A reader for every field of T, the optional ones too. */
export type FieldsOf<T> = {
  readonly [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? Reader<T[K] | undefined>
    : Reader<T[K]>;
};

/**
 * An object of the type T, which stands elsewhere: the compiler asks for a reader of each of its fields, so that
 * type and reader cannot drift apart.
 *
 *   interface Size { readonly width: number; readonly height?: number }
 *   const size = objectOf<Size>({ width: whole({ most: 9 }), height: optional(whole({ most: 9 })) });
 */
export function objectOf<T extends object>(fields: FieldsOf<T>): Reader<T> {
  return (value, place) => readFields(fields, value, place) as T; // as in `object`
}

/** What `reader` returns where `check`, which may say more of the value as a whole, does not throw. */
export function refined<T>(reader: Reader<T>, check: (value: T, place: Place) => void): Reader<T> {
  return (value, place) => {
    const found = reader(value, place);
    check(found, place);
    return found;
  };
}

/** An object from any names to values of one kind. */
export function record<T>(
  reader: Reader<T>,
  { most = 100_000 }: { readonly most?: number } = {},
): Reader<Readonly<Record<string, T>>> {
  return (value, place) => {
    if (!isObject(value)) return place.fail('an object', value);
    const entries = Object.entries(value);
    if (entries.length > most) {
      throw place.error(`at most ${String(most)} entries`, String(entries.length));
    }
    return Object.fromEntries(entries.map(([key, each]) => [key, reader(each, place.at(key))]));
  };
}

/** A list of values of one kind. */
export function list<T>(
  reader: Reader<T>,
  { least = 0, most = 100_000 }: { readonly least?: number; readonly most?: number } = {},
): Reader<readonly T[]> {
  const range = least === most ? String(least) : `${String(least)} to ${String(most)}`;
  return (value, place) => {
    if (!Array.isArray(value)) return place.fail('a list', value);
    if (value.length < least || value.length > most) {
      throw place.error(`a list of ${range} values`, String(value.length));
    }
    return value.map((each: unknown, index) => reader(each, place.at(index)));
  };
}

/** A whole number in [least, most]. */
export function whole({
  least = 1,
  most,
}: {
  readonly least?: number;
  readonly most: number;
}): Reader<number> {
  return (value, place) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most
      ? value
      : place.fail(`a whole number from ${String(least)} to ${String(most)}`, value);
}

/** A finite number in [least, most], or above `above`. */
export function number({
  least = -Infinity,
  above = -Infinity,
  most = Number.MAX_VALUE,
}: {
  readonly least?: number;
  readonly above?: number;
  readonly most?: number;
} = {}): Reader<number> {
  const bounds = [
    ...(above > -Infinity ? [`above ${String(above)}`] : []),
    ...(least > -Infinity ? [`from ${String(least)}`] : []),
    ...(most < Number.MAX_VALUE ? [`up to ${String(most)}`] : []),
  ];
  const expected = ['a finite number', ...bounds].join(' ');
  return (value, place) =>
    typeof value === 'number' && value >= least && value > above && value <= most
      ? value
      : place.fail(expected, value);
}

/** A text of at most `most` characters. */
export function text({ most = 10_000 }: { readonly most?: number } = {}): Reader<string> {
  return (value, place) => {
    if (typeof value !== 'string') return place.fail('a text', value);
    if (value.length <= most) return value;
    throw place.error(`at most ${String(most)} characters`, String(value.length));
  };
}

/** Reads true or false. */
export const truth: Reader<boolean> = (value, place) =>
  typeof value === 'boolean' ? value : place.fail('true or false', value);

/** One of these texts or numbers. */
export function oneOf<const T extends string | number>(...choices: readonly T[]): Reader<T> {
  return (value, place) =>
    choices.find((choice) => choice === value) ?? place.fail(choices.join(' or '), value);
}

/** undefined where there is nothing. */
export function optional<T>(reader: Reader<T>): Reader<T | undefined> {
  return (value, place) => (value === undefined ? undefined : reader(value, place));
}

/** null where it says so. */
export function nullable<T>(reader: Reader<T>): Reader<T | null> {
  return (value, place) => (value === null ? null : reader(value, place));
}

/** Whatever it is. */
export const anything: Reader<unknown> = (value) => value;
