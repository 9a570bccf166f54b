/**
 * The entries of a safetensors header, one at a time: the text is scanned once, and each value is parsed by
 * itself, so that a header costs little more than the tensors that it lists.
 *
 * What `JSON.parse` lets through is refused: a key that comes twice in one object, of which it keeps the last,
 * and deep nesting. The scan needs no stack and must stand any text; whether a value is JSON is for the parser
 * to judge.
 */
import { FormatError } from '../errors.js';
import { brief, isObject } from '../schema/index.js';

export interface HeaderEntry {
  readonly name: string;
  readonly value: unknown;
  /** Keys of the value where it is an object; 0 for any other. */
  readonly keys: number;
}

export const DOWNLOAD_AGAIN =
  'The file is damaged or is not safetensors; download or export it again';
export const EXPORT_AGAIN = 'The program that wrote the file broke the format; export it again';

/** Root object, tensor or metadata object, shape or offsets. */
const MAX_DEPTH = 3;

/**
 * The entries of the object that `text` is, in its order. Throws FormatError; the names of entries may come
 * twice.
 */
export function* headerEntries(text: string): Generator<HeaderEntry, void, undefined> {
  const scan = new Scan(text);
  scan.take(OPEN_BRACE);
  if (!scan.takeIf(CLOSE_BRACE)) {
    do {
      const name = scan.key();
      scan.take(COLON);
      yield { name, ...scan.value() };
    } while (scan.takeIf(COMMA));
    scan.take(CLOSE_BRACE);
  }
  scan.end();
}

/** A place in the text, between two tokens. */
class Scan {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  private skipSpace(): void {
    while (isSpace(this.text.charCodeAt(this.at))) this.at++;
  }

  takeIf(code: number): boolean {
    this.skipSpace();
    if (this.text.charCodeAt(this.at) !== code) return false;
    this.at++;
    return true;
  }

  take(code: number): void {
    if (!this.takeIf(code)) throw invalidJson();
  }

  end(): void {
    this.skipSpace();
    if (this.at < this.text.length) throw invalidJson();
  }

  key(): string {
    this.take(QUOTE);
    const start = this.at - 1;
    this.at = stringEnd(this.text, start);
    return keyOf(this.text.slice(start, this.at));
  }

  value(): Omit<HeaderEntry, 'name'> {
    this.skipSpace();
    const { end, keys } = valueEnd(this.text, this.at);
    const literal = this.text.slice(this.at, end);
    this.at = end;
    const value = parsed(literal);
    if (isObject(value) && Object.keys(value).length < keys) throw keyTwice(literal);
    return { value, keys };
  }
}

/** One past the value that begins at `start`, and how many keys the outermost object of it has. */
function valueEnd(text: string, start: number): { readonly end: number; readonly keys: number } {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return { end: stringEnd(text, start), keys: 0 };
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return { end: wordEnd(text, start), keys: 0 };
  let keys = 0;
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = stringEnd(text, at) - 1;
    else if (code === COLON && depth === 1) keys++;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      depth++;
      if (depth >= MAX_DEPTH) throw tooDeep();
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return { end: at + 1, keys };
    }
  }
  return { end: text.length, keys };
}

/** One past the closing quote of the string literal that opens at `start`. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  return text.length;
}

/** One past a number, `true` or the like. */
function wordEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length && !endsWord(text.charCodeAt(at))) at++;
  return at;
}

/** A key's value: by it "a" and "\u0061" are the same name. */
function keyOf(literal: string): string {
  const value = parsed(literal);
  if (typeof value !== 'string' || !isUnicode(value)) throw invalidJson();
  return value;
}

function parsed(literal: string): unknown {
  try {
    return JSON.parse(literal);
  } catch {
    throw invalidJson();
  }
}

/** Whether the string has an encoding in UTF-8, which lone surrogates lack. */
export function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** The error for an object of which the parser kept fewer keys than its text has. */
function keyTwice(literal: string): FormatError {
  const seen = new Set<string>();
  const scan = new Scan(literal);
  scan.take(OPEN_BRACE);
  for (;;) {
    const key = scan.key();
    if (seen.has(key)) return nameTwice(key);
    seen.add(key);
    scan.take(COLON);
    scan.value();
    scan.take(COMMA);
  }
}

export function nameTwice(name: string): FormatError {
  return headerError('every name once', `${brief(name)} twice`, EXPORT_AGAIN);
}

export function headerError(expected: string, got: string, todo: string): FormatError {
  return new FormatError({ where: 'safetensors header', expected, got, todo });
}

function invalidJson(): FormatError {
  return headerError('valid JSON', 'text that does not parse', DOWNLOAD_AGAIN);
}

function tooDeep(): FormatError {
  return headerError(
    `nesting of at most ${String(MAX_DEPTH)} levels`,
    'deeper nesting',
    EXPORT_AGAIN,
  );
}

function endsWord(code: number): boolean {
  return code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || isSpace(code);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
