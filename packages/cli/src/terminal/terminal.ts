/**
 * Text from elsewhere (names of files, classes, tensors, models) as a terminal may have it: what would move the
 * cursor, colour the screen, set its title or turn the direction of writing is shown as `\x1b` instead.
 */

/** Control characters but the newline and the tab; marks that change the direction of the text around them. */
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** `text` without control characters; newlines and tabs stay. */
export function visible(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** `text` in one line: newlines and tabs are shown as escapes too. */
export function inOneLine(text: string): string {
  return visible(text).replace(/[\n\t]/g, escaped);
}

/**
 * `value` as JSON in one line for every reader of lines: neither raw control characters nor the ends
 * of lines that only some know (U+0085, U+2028). The value is the same.
 */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(CONTROLS, unicodeEscape);
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : unicodeEscape(character);
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** `text` as a word of a command line for people to copy: quoted where a shell would take it apart. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text) && !text.startsWith('-')) return text;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
