/** Readers of JSON: what passes, and where an error says that it does not. */
import { describe, expect, it } from 'vitest';
import { FormatError } from '../src/errors.js';
import {
  brief,
  list,
  nullable,
  number,
  object,
  objectOf,
  oneOf,
  optional,
  parseJson,
  read,
  record,
  refined,
  text,
  truth,
  whole,
  type Reader,
} from '../src/schema/index.js';

const FILE = { file: 'run.json', error: FormatError, todo: 'Do it again' };

function messageOf(json: string, reader: Reader<unknown>): string {
  try {
    return `read: ${JSON.stringify(read(json, reader, FILE))}`;
  } catch (error) {
    return error instanceof FormatError ? error.message : String(error);
  }
}

describe('readers', () => {
  const model = object({
    name: text({ most: 20 }),
    depth: whole({ most: 1000 }),
    heads: optional(list(whole({ most: 64 }), { least: 1, most: 4 })),
    ranks: record(whole({ least: 0, most: 9 }), { most: 2 }),
    eps: nullable(number({ above: 0, most: 1 })),
    pooling: oneOf('token', 'mean'),
    isTrained: truth,
  });
  const good = {
    name: 'a',
    depth: 2,
    ranks: { x: 1 },
    eps: null,
    pooling: 'token',
    isTrained: true,
  };
  const bad = (part: object) => messageOf(JSON.stringify({ ...good, ...part }), model);

  it('return what was asked for and nothing else', () => {
    const found = read(JSON.stringify({ ...good, other: 1 }), model, FILE);
    expect(found).toEqual(good);
    expect('heads' in found).toBe(false);
    const depth: number = found.depth;
    const heads: readonly number[] | undefined = found.heads;
    expect([depth, heads]).toEqual([2, undefined]);
  });

  it.each([
    [{ depth: 0 }, 'run.json, depth: expected a whole number from 1 to 1000, got 0. Do it again.'],
    [{ depth: 1e7 }, 'run.json, depth: expected a whole number from 1 to 1000, got 10000000.'],
    [{ depth: '2' }, 'run.json, depth: expected a whole number from 1 to 1000, got "2".'],
    [{ depth: undefined }, 'run.json, depth: expected a whole number from 1 to 1000, got nothing.'],
    [{ heads: [1, 65] }, 'run.json, heads[1]: expected a whole number from 1 to 64, got 65.'],
    [{ heads: [] }, 'run.json, heads: expected a list of 1 to 4 values, got 0.'],
    [{ heads: {} }, 'run.json, heads: expected a list, got {}.'],
    [{ ranks: { a: 1, b: 1, c: 1 } }, 'run.json, ranks: expected at most 2 entries, got 3.'],
    [{ ranks: { a: -1 } }, 'run.json, ranks.a: expected a whole number from 0 to 9, got -1.'],
    [{ eps: 0 }, 'run.json, eps: expected a finite number above 0 up to 1, got 0.'],
    [{ eps: 2 }, 'run.json, eps: expected a finite number above 0 up to 1, got 2.'],
    [{ pooling: 'max' }, 'run.json, pooling: expected token or mean, got "max".'],
    [{ isTrained: 1 }, 'run.json, isTrained: expected true or false, got 1.'],
    [{ name: 'x'.repeat(21) }, 'run.json, name: expected at most 20 characters, got 21.'],
  ])('say where %j is wrong', (part, message) => {
    expect(bad(part)).toContain(message);
  });

  it('take numbers that are numbers', () => {
    expect(messageOf('1e999', number())).toContain('expected a finite number, got Infinity');
    expect(messageOf('1.5', whole({ most: 3 }))).toContain('got 1.5');
    expect(messageOf('9007199254740993', whole({ most: 1e300 }))).toContain('got 9007199254740992');
  });

  it('are not led astray by names of the language', () => {
    const names = '{"__proto__": 1, "constructor": 2, "toString": 3}';
    expect(read(names, record(whole({ most: 9 })), FILE)).toEqual(JSON.parse(names));
    expect(
      messageOf('{"__proto__": {"depth": 2}}', object({ depth: whole({ most: 9 }) })),
    ).toContain('depth: expected a whole number from 1 to 9, got nothing');
    expect(messageOf('{}', object({ constructor: text() }))).toContain('got nothing');
  });
});

describe('objects of a type that stands elsewhere', () => {
  interface Crop {
    readonly size: number;
    readonly edge?: number;
  }
  const crop = refined(
    objectOf<Crop>({ size: whole({ most: 999 }), edge: optional(whole({ most: 999 })) }),
    ({ size, edge = size }, place) => {
      if (edge < size) throw place.at('edge').error('at least the size', String(edge));
    },
  );

  it('have its fields and no others', () => {
    expect(read('{"size":8,"other":1}', crop, FILE)).toEqual({ size: 8 });
    expect(read('{"size":8,"edge":9}', crop, FILE)).toEqual({ size: 8, edge: 9 });
    expect(messageOf('[8]', crop)).toContain('run.json: expected an object, got [8]');
    expect(messageOf('{"edge":9}', crop)).toContain('size: expected a whole number from 1 to 999');
  });

  it('are refused by what is said of the whole', () => {
    expect(messageOf('{"size":8,"edge":7}', crop)).toContain(
      'run.json, edge: expected at least the size, got 7.',
    );
  });
});

describe('texts of JSON', () => {
  it.each([
    ['', 'run.json: expected JSON, got an empty file. Do it again.'],
    ['{"a":', 'run.json: expected JSON, got no JSON: "{\\"a\\":". Do it again.'],
    ['['.repeat(70), 'run.json: expected JSON, got more than 64 nested levels.'],
    [`${'['.repeat(1e5)}${']'.repeat(1e5)}`, 'got more than 64 nested levels'],
  ])('%.20s', (json, message) => {
    expect(messageOf(json, text())).toContain(message);
  });

  it('may begin with a byte order mark, and have brackets in strings', () => {
    const brackets = JSON.stringify(`"\\${'['.repeat(100)}`);
    expect(parseJson(`\uFEFF${brackets}`)).toEqual({ value: JSON.parse(brackets) as unknown });
  });
});

describe('values in messages', () => {
  it.each([
    [undefined, 'nothing'],
    [null, 'null'],
    [NaN, 'NaN'],
    [[1, 2], '[1,2]'],
    [{ a: { b: 1 } }, '{"a":"{…}"}'],
    [[[1], []], '["[…]",[]]'],
    ['\u001b[31m', '"\\u001b[31m"'],
  ])('%j', (value, shown) => {
    expect(brief(value)).toBe(shown);
  });

  it.each([['x'.repeat(1e6)], [Array.from({ length: 1e5 }, () => 'x')], [{ ['k'.repeat(99)]: 1 }]])(
    'are short',
    (value) => {
      expect(brief(value)).toMatch(/^.{40,59}…$/u);
    },
  );

  it('say that a list goes on', () => {
    expect(brief(Array.from({ length: 100 }, () => 1))).toBe('[1,1,1,1,1,1,1,1,1,1,1,1]…');
  });
});
