/**
 * Damaged inputs, by a seed: bytes with a few of them changed, JSON texts with values exchanged, left out,
 * doubled or renamed. JSON is printed here, since keys that come twice and `__proto__` are only possible in text.
 */
import type { Random } from '@thimble/core';

/** Values that a careless reader stumbles over, as JSON text. */
const ODD_VALUES: readonly string[] = [
  ...['null', 'true', 'false', '0', '-0', '-1', '1', '2', '3', '1.5', '1.0', '1e2'],
  ...['1e308', '-1e308', '1e999', '-1e999', '1e-320', '9007199254740991', '9007199254740993'],
  ...['18446744073709551616', '4294967296', '2147483648', '1000000', '65536'],
  ...['""', '"a"', '"NaN"', '"Infinity"', '"__proto__"', '"constructor"', '"\\u0000"', '"\\ud800"'],
  ...['"../../x"', '"\\u001b[31m"', '"a\\nb"', '[]', '{}', '[[]]', '[null]', '[1,1]', '[1,1,1]'],
  ...['[0,0,0]', '[-1]', '[1e308,1e308,1e308]', '[1e-320,1e-320,1e-320]', '[0.5,0.5,0.5,0.5]'],
  ...['{"__proto__":{"x":1}}', '{"length":3}', '{"height":1e6,"width":1e6}', '{"shortest_edge":1}'],
  '{"0":"a","1":"b"}',
];
/** The same, of a size that takes a while to make. */
const LARGE_VALUES: readonly (() => string)[] = [
  () => '['.repeat(500) + ']'.repeat(500),
  () => '['.repeat(20_000) + ']'.repeat(20_000),
  () => `${'{"a":'.repeat(6000)}1${'}'.repeat(6000)}`,
  () => `"${'x'.repeat(70_000)}"`,
  () => `[${'1,'.repeat(20_000)}1]`,
];
const ODD_KEYS: readonly string[] = [
  ...['"__proto__"', '"constructor"', '"toString"', '"hasOwnProperty"', '"length"', '"0"', '""'],
  ...['"\\u0000"', '"a\\u001b[2Jb"'],
];

const EDITS = ['replace', 'replace', 'delete', 'twice', 'rename', 'extra', 'swap'] as const;
type Edit = (typeof EDITS)[number];

/** One of `list`. */
export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)];
}

/** The JSON text of `value` with one to three changes, now and then damaged as bytes too. */
export function damagedJson(random: Random, value: unknown): string {
  const paths = pathsOf(value);
  const count = 1 + random.below(3);
  const edits = new Map<string, Edit>();
  for (let i = 0; i < count; i++) edits.set(keyOf(pick(random, paths)), pick(random, EDITS));
  const text = new Printer(random, value, edits).print(value, []);
  if (random.below(10) > 0) return text;
  return new TextDecoder().decode(damagedBytes(random, new TextEncoder().encode(text)));
}

type Path = readonly string[];

function pathsOf(value: unknown, path: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inside = Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...path, key]));
  return [path, ...inside];
}

function keyOf(path: Path): string {
  return JSON.stringify(path);
}

function oddValue(random: Random): string {
  return random.below(200) === 0 ? pick(random, LARGE_VALUES)() : pick(random, ODD_VALUES);
}

/** Prints a value with the edits at their paths. */
class Printer {
  private readonly random: Random;
  private readonly whole: unknown;
  private readonly edits: ReadonlyMap<string, Edit>;

  constructor(random: Random, whole: unknown, edits: ReadonlyMap<string, Edit>) {
    this.random = random;
    this.whole = whole;
    this.edits = edits;
  }

  print(value: unknown, path: Path): string {
    const edit = this.edits.get(keyOf(path));
    if (edit === 'replace') return oddValue(this.random);
    if (edit === 'swap') {
      return JSON.stringify(valueAt(this.whole, pick(this.random, pathsOf(this.whole)))) ?? 'null';
    }
    if (Array.isArray(value)) {
      return `[${value.flatMap((inner, index) => this.items(inner, [...path, String(index)])).join()}]`;
    }
    if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
    const fields = Object.entries(value).flatMap(([key, inner]) => this.fields(key, inner, path));
    return `{${fields.join()}}`;
  }

  private items(value: unknown, path: Path): readonly string[] {
    const edit = this.edits.get(keyOf(path));
    if (edit === 'delete') return [];
    const text = this.print(value, path);
    if (edit === 'twice') return [text, text];
    return edit === 'extra' ? [text, oddValue(this.random)] : [text];
  }

  private fields(key: string, value: unknown, path: Path): readonly string[] {
    const inner = [...path, key];
    const edit = this.edits.get(keyOf(inner));
    if (edit === 'delete') return [];
    const name = edit === 'rename' ? pick(this.random, ODD_KEYS) : JSON.stringify(key);
    const field = `${name}:${this.print(value, inner)}`;
    if (edit === 'twice') return [field, `${JSON.stringify(key)}:${oddValue(this.random)}`];
    if (edit !== 'extra') return [field];
    return [field, `${pick(this.random, ODD_KEYS)}:${oddValue(this.random)}`];
  }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null ? new Map(Object.entries(inner)).get(key) : inner,
    value,
  );
}

/** `bytes` with one to three changes: bits, bytes, stretches left out, doubled or put in, a length field. */
export function damagedBytes(random: Random, bytes: Uint8Array): Uint8Array {
  let result = bytes.slice();
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    result = pick(random, DAMAGE)(random, result);
  }
  return result;
}

const DAMAGE: readonly ((random: Random, bytes: Uint8Array) => Uint8Array)[] = [
  (random, bytes) => changed(random, bytes, (byte) => byte ^ (1 << random.below(8))),
  (random, bytes) => changed(random, bytes, () => random.below(256)),
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes) => {
    const added = Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256));
    const at = random.below(bytes.length + 1);
    return joined(bytes.subarray(0, at), added, bytes.subarray(at));
  },
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(8)));
  },
  (random, bytes) => {
    const at = random.below(bytes.length + 1);
    return joined(bytes.subarray(0, at + random.below(40)), bytes.subarray(at));
  },
  (random, bytes) => {
    if (bytes.length < 8) return bytes;
    const { length } = bytes;
    const lengths = [0, 1, 7, 8, 100_000_000, 100_000_001, 2 ** 32, length, length - 8, length - 7];
    const huge = [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    const value = pick(random, [...lengths.map(BigInt), ...huge]);
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(0, value, true);
    return bytes;
  },
];

function changed(random: Random, bytes: Uint8Array, change: (byte: number) => number): Uint8Array {
  if (bytes.length === 0) return bytes;
  const at = random.below(bytes.length);
  bytes[at] = change(bytes[at]);
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
