/**
 * JSON text that somebody else wrote, as a value: with bounds on its length and its nesting, so that what walks
 * or prints the value afterwards needs no stack of its own. What the value has to be is said by readers
 * (`readers.ts`).
 */

/** Characters of a text; longer is no configuration. */
const MAX_LENGTH = 64_000_000;
/** Levels of objects and arrays; no file of any library that is read here has more than ten. */
const MAX_DEPTH = 64;

/** The value, or in words what the text is instead. */
export type Parsed = { readonly value: unknown } | { readonly fault: string };

/** Parses `text`; never throws. */
export function parseJson(text: string): Parsed {
  if (text.length > MAX_LENGTH) return { fault: `a text of ${String(text.length)} characters` };
  if (isDeeper(text, MAX_DEPTH)) return { fault: `more than ${String(MAX_DEPTH)} nested levels` };
  try {
    const value: unknown = JSON.parse(text.startsWith('\uFEFF') ? text.slice(1) : text);
    return { value };
  } catch {
    return { fault: text.trim() === '' ? 'an empty file' : `no JSON: ${brief(text)}` };
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value[key]`, undefined for what is no object. */
export function field(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** A value for an error message: about 60 characters at most; `nothing` for undefined. */
export function brief(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') {
    return shortened(JSON.stringify(value.slice(0, SHOWN)), value.length);
  }
  if (Array.isArray(value)) {
    const text = JSON.stringify(value.slice(0, SHOWN_ITEMS).map(flat));
    return shortened(text, value.length > SHOWN_ITEMS ? Infinity : 0);
  }
  if (isObject(value)) {
    const entries = Object.entries(value).map(([key, inner]) => [key.slice(0, SHOWN), flat(inner)]);
    return shortened(JSON.stringify(Object.fromEntries(entries.slice(0, SHOWN_ITEMS))), 0);
  }
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : 'null';
}

const SHOWN = 60;
const SHOWN_ITEMS = 12;

/** @param length of what is shown; beyond SHOWN it was cut already */
function shortened(text: string, length: number): string {
  return text.length <= SHOWN && length <= SHOWN ? text : `${text.slice(0, SHOWN - 1)}…`;
}

/** Without what is inside of it. */
function flat(value: unknown): unknown {
  if (typeof value === 'string') return value.slice(0, SHOWN);
  if (Array.isArray(value)) return value.length === 0 ? value : '[…]';
  return isObject(value) && Object.keys(value).length > 0 ? '{…}' : value;
}

/** Scans brackets outside of strings, without recursion. */
function isDeeper(text: string, most: number): boolean {
  let depth = 0;
  let isString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (isString) {
      if (code === BACKSLASH) at++;
      else if (code === QUOTE) isString = false;
    } else if (code === QUOTE) isString = true;
    else if (code === OPEN_BRACKET || code === OPEN_BRACE) {
      depth++;
      if (depth > most) return true;
    } else if (code === CLOSE_BRACKET || code === CLOSE_BRACE) depth--;
  }
  return false;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
