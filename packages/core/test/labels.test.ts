/** Names of classes: in the files of other libraries (repeated, renumbered, absent), and those that are written. */
import { describe, expect, it } from 'vitest';
import { checkedClassNames } from '../src/checkpoints/class-names.js';
import { labelsOf } from '../src/checkpoints/labels.js';
import { CheckpointError, DataError } from '../src/errors.js';

/** What a config.json says of `classes` outputs. */
function labels(config: object, classes = 3): readonly string[] | null {
  return labelsOf('model', new Map(), { config, preprocessor: null }, classes);
}

/** What transformers writes beside id2label: of equal names the last. */
function inverse(id2label: Readonly<Record<string, string>>): Record<string, number> {
  return Object.fromEntries(Object.entries(id2label).map(([id, name]) => [name, Number(id)]));
}

describe('labels of transformers', () => {
  it('may be equal: label2id then has fewer entries than the model has outputs', () => {
    const id2label = { 0: 'crane', 1: 'crane', 2: 'rose' };
    expect(labels({ id2label, label2id: inverse(id2label) })).toEqual(['crane', 'crane', 'rose']);
  });

  it('are those of ImageNet, two cranes and a maillot beside its synonym', () => {
    const names = Array.from({ length: 1000 }, (_, id) => `class ${String(id)}`);
    names[134] = names[517] = 'crane';
    [names[638], names[639]] = ['maillot', 'maillot, tank suit'];
    const id2label = Object.fromEntries(names.entries());
    expect(labels({ id2label, label2id: inverse(id2label) }, 1000)).toEqual(names);
  });

  it.each([
    ['another', { rose: 0, tulip: 1, daisy: 2 }],
    ['a default', { LABEL_0: 0, LABEL_1: 1, LABEL_2: 2 }],
    ['an incomplete', { cat: 2 }],
    ['a meaningless', { cat: null, dog: -1 }],
  ])('are those of id2label, which answers, beside %s label2id', (_, label2id) => {
    expect(labels({ id2label: { 0: 'a', 1: 'b', 2: 'c' }, label2id })).toEqual(['a', 'b', 'c']);
  });

  it('are in the order of their numbers, whatever that of the file', () => {
    expect(labels({ id2label: { 2: 'c', 0: 'a', 1: 'b' } })).toEqual(['a', 'b', 'c']);
    expect(labels({ label2id: { c: 2, a: 0, b: 1 } })).toEqual(['a', 'b', 'c']);
    expect(labels({ label2id: { c: '2', a: '0', b: '1' } })).toEqual(['a', 'b', 'c']);
  });

  it('are nothing where nobody gave them, and names where somebody gave one', () => {
    expect(labels({})).toBeNull();
    expect(labels({ id2label: null, label2id: null })).toBeNull();
    expect(labels({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2' } })).toBeNull();
    const mixed = { 0: 'cat', 1: 'LABEL_1', 2: 'LABEL_2' };
    expect(labels({ id2label: mixed })).toEqual(['cat', 'LABEL_1', 'LABEL_2']);
  });

  it('may be called as what objects have already', () => {
    const id2label = JSON.parse('{"0": "__proto__", "1": "constructor", "2": "10"}') as object;
    expect(labels({ id2label })).toEqual(['__proto__', 'constructor', '10']);
    const label2id = JSON.parse('{"__proto__": 0, "constructor": 1, "10": 2}') as object;
    expect(labels({ label2id })).toEqual(['__proto__', 'constructor', '10']);
  });

  it.each([
    [{ id2label: { 0: 'a', 2: 'c' } }, 'id2label: expected a name for class 1, got nothing'],
    [
      { id2label: { 0: 'a', 1: 'b', 7: 'c' } },
      'id2label: expected a name for class 2, got nothing',
    ],
    [{ id2label: { 0: 'a', 1: 'b' } }, 'id2label: expected 3 names, one for each output'],
    [{ id2label: { 0: 'a', 1: 'b', 2: 'c', 3: 'd' } }, 'id2label: expected 3 names, one for each'],
    [{ id2label: { '': 'a', 1: 'b', 2: 'c' } }, 'id2label: expected the numbers of outputs'],
    [{ id2label: { 0: 'a', '01': 'b', 2: 'c' } }, 'id2label: expected the numbers of outputs'],
    [{ id2label: { 0: 'a', '1.0': 'b', 2: 'c' } }, 'id2label: expected the numbers of outputs'],
    [{ id2label: { 0: 'a', '0x1': 'b', 2: 'c' } }, 'id2label: expected the numbers of outputs'],
    [{ id2label: { 0: 'a', '-1': 'b', 2: 'c' } }, 'id2label: expected the numbers of outputs'],
    [{ id2label: { 0: ['a', 'b'], 1: 'b', 2: 'c' } }, 'id2label: expected a name for class 0'],
    [{ id2label: ['a', 'b', 'c'] }, 'id2label: expected an object from index to name'],
    [{ label2id: { a: 0, b: 1 } }, 'label2id: expected 3 names, one for each output'],
    [{ label2id: { a: 0, b: 0, c: 1 } }, 'label2id: expected a name for class 2, got nothing'],
    [{ label2id: { a: null, b: 1, c: 2 } }, 'label2id: expected the numbers of outputs, from 0'],
    [{ label2id: { a: 0, b: 1.5, c: 2 } }, 'label2id: expected the numbers of outputs, from 0'],
  ])('are refused: %j', (config, message) => {
    expect(() => labels(config)).toThrow(CheckpointError);
    expect(() => labels(config)).toThrow(`config.json, ${message}`);
  });
});

describe('names that are written', () => {
  const check = (name: string) => () =>
    checkedClassNames(['rose', name], '--labels names.txt', 'Correct the file');

  it('may be equal, of any script, and as long as labels of synonyms are', () => {
    const names = ['crane', 'crane', 'été', '花', 'وردة', '🌹', ' a, b (c) ', 'x'.repeat(1000)];
    expect(checkedClassNames(names, 'photos', 'Rename the folder')).toBe(names);
  });

  it.each([
    ['', '"", with nothing but spaces in it'],
    [' \u00a0', '" \u00a0", with nothing but spaces in it'],
    ['a\nb', '"a\\nb", with control characters or line ends in it'],
    ['a\rb', '"a\\rb", with control characters or line ends in it'],
    ['a\u0000', '"a\\u0000", with control characters or line ends in it'],
    ['a\u2028b', '"a\u2028b", with control characters or line ends in it'],
    ['\u001b[2J', '"\\u001b[2J", with control characters or line ends in it'],
    ['a\ud800b', '"a\\ud800b", with half of a character in it'],
    ['x'.repeat(1001), `"${'x'.repeat(58)}…, with 1001 characters in it`],
  ])('are refused: %j', (name, got) => {
    expect(check(name)).toThrow(DataError);
    expect(check(name)).toThrow(
      `--labels names.txt, class 1: expected a name in one line, of 1 to 1000 characters, got ${got}. ` +
        'Correct the file.',
    );
  });
});
