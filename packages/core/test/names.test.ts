/** Look-up of typed names, and which name counts as near. */
import { describe, expect, it } from 'vitest';
import { UnknownNameError } from '../src/errors.js';
import { lookUp, nearest } from '../src/names.js';

const TABLE = { sgd: 1, adamw: 2, 'last-k': 3 };

describe('lookUp', () => {
  it('gives the entry of the name', () => {
    expect(lookUp('optimizer', 'adamw', TABLE)).toBe(2);
  });

  it('names the nearest entry', () => {
    const look = () => lookUp('optimizer', 'adam', TABLE);
    expect(look).toThrow(UnknownNameError);
    expect(look).toThrow(
      /^optimizer: expected one of sgd, adamw, last-k, got "adam"\. The nearest is "adamw"\.$/,
    );
  });

  it('names none when all are far', () => {
    expect(() => lookUp('optimizer', 'nesterov', TABLE)).toThrow(
      /^optimizer: expected one of sgd, adamw, last-k, got "nesterov"\. Choose one of them\.$/,
    );
  });

  it('does not find what every object inherits', () => {
    expect(() => lookUp('optimizer', 'toString', TABLE)).toThrow(UnknownNameError);
    expect(() => lookUp('optimizer', '__proto__', TABLE)).toThrow(UnknownNameError);
  });
});

describe('nearest', () => {
  it.each([
    ['adamW', 'adamw'], // case does not count
    ['sdg', 'sgd'], // a swap is two edits
    ['last-4', 'last-k'],
    ['lastk', 'last-k'],
    ['momentum', null],
    ['', null],
  ])('%s → %s', (name, near) => {
    expect(nearest(name, Object.keys(TABLE))).toBe(near);
  });

  it('prefers fewer edits, then the order of the names', () => {
    expect(nearest('abcd', ['abxx', 'abcx', 'abcy'])).toBe('abcx');
  });
});
