/** Numbers as people read them. */

/** 0.9312 → `93.1 %`. */
export function percent(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : '–';
}

/** 5717416 → `5.72 M`. */
export function metric(value: number): string {
  const units = ['', ' k', ' M', ' G', ' T'];
  let unit = 0;
  let scaled = value;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return unit === 0 ? String(value) : `${scaled.toPrecision(3)}${units[unit]}`;
}

/** About three digits and no exponent. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Milliseconds with three digits. */
export function milliseconds(ms: number): string {
  return Number.isFinite(ms) ? `${significant(ms)} ms` : '–';
}

/** 75.2 → `1 min 15 s`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${String(whole)} s`;
  return `${String(Math.floor(whole / 60))} min ${String(whole % 60)} s`;
}

/** `1 image`, `2 images`. */
export function counted(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** Order of texts in which numbers count as such: `blocks.2` before `blocks.10`. */
export function inNumericOrder(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  let start = at; // of the number in which they differ, if it is one
  while (start > 0 && isDigit(a.charCodeAt(start - 1))) start--;
  const [left, right] = [digitsFrom(a, start), digitsFrom(b, start)];
  if (left > 0 && right > 0 && left !== right) return left - right;
  return a.charCodeAt(at) - b.charCodeAt(at) || a.length - b.length;
}

/** How many digits begin there, without zeros in front. */
function digitsFrom(text: string, start: number): number {
  let begin = start;
  while (text.charCodeAt(begin) === 0x30 && isDigit(text.charCodeAt(begin + 1))) begin++;
  let end = begin;
  while (isDigit(text.charCodeAt(end))) end++;
  return end - begin;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
