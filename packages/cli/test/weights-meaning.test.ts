/** Which outputs the names of folders mean, and what an evaluation tells apart. */
import { describe, expect, it } from 'vitest';
import { evaluatedClasses, matchedClasses, outputsMeant } from '../src/source/meaning.js';

describe('outputsMeant', () => {
  const meant = (names: readonly string[], labels: readonly string[]) =>
    Object.fromEntries(outputsMeant(names, labels).map((outputs, i) => [names[i], outputs]));

  it('goes by the label, its spelling, its first synonym, in this order', () => {
    const labels = ['Tench, Tinca tinca', 'golden retriever', 'cat', 'CAT', 'cat, tabby'];
    expect(meant(['tench', 'golden_retriever', 'cat', 'dog', 'Tinca tinca'], labels)).toEqual({
      tench: [0],
      golden_retriever: [1],
      cat: [2],
      dog: [],
      'Tinca tinca': [],
    });
    expect(meant(['Cat'], labels)).toEqual({ Cat: [2, 3] });
    expect(meant(['cat, tabby', 'cat'], labels)).toEqual({ 'cat, tabby': [4], cat: [2] });
  });

  it('finds every output of a label, and of a synonym', () => {
    expect(meant(['crane'], ['rose', 'crane', 'crane'])).toEqual({ crane: [1, 2] });
    expect(meant(['crane'], ['crane, bird', 'rose', 'Crane, machine'])).toEqual({ crane: [0, 2] });
  });

  it('gives nobody what a folder of that label has', () => {
    const labels = ['maillot, tank suit', 'maillot, swimsuit'];
    expect(meant(['maillot', 'maillot, tank suit'], labels)).toEqual({
      maillot: [1],
      'maillot, tank suit': [0],
    });
  });

  it('lets two spellings of a folder mean the same', () => {
    expect(meant(['Red_Fox', 'red fox'], ['RED FOX'])).toEqual({ Red_Fox: [0], 'red fox': [0] });
  });

  it('takes no name of objects for a label', () => {
    expect(meant(['constructor', '__proto__'], ['a', '__proto__'])).toEqual(
      Object.fromEntries([
        ['constructor', []],
        ['__proto__', [1]],
      ]),
    );
  });
});

describe('evaluatedClasses', () => {
  it('are the labels in their order, under the folders that hold them', () => {
    expect(evaluatedClasses(['blue', 'red', 'other'], ['Red, crimson', 'blue', 'green'])).toEqual([
      { name: 'Red, crimson', outputs: [0] },
      { name: 'blue', outputs: [1] },
      { name: 'green', outputs: [2] },
    ]);
  });

  it('have one class for equal labels, with a folder or without', () => {
    const labels = ['crane', 'rose', 'crane', 'fan', 'fan'];
    const rest = [
      { name: 'rose', outputs: [1] },
      { name: 'fan', outputs: [3, 4] },
    ];
    const crane = { name: 'crane', outputs: [0, 2] };
    expect(evaluatedClasses(['crane'], labels)).toEqual([crane, ...rest]);
    expect(evaluatedClasses([], labels)).toEqual([crane, ...rest]);
  });

  it('are called as the folder that means several labels', () => {
    expect(evaluatedClasses(['crane'], ['crane, bird', 'crane, machine'])).toEqual([
      { name: 'crane', outputs: [0, 1] },
    ]);
  });

  it('are found under names that a disk took apart, and only once', () => {
    const folders = ['cafe\u0301', 'Red_Fox', 'dog', 'red fox'];
    const labels = ['RED FOX', 'caf\u00e9', 'crow'];
    expect(evaluatedClasses(folders, labels)).toHaveLength(3);
    expect(matchedClasses(folders, labels)).toEqual({
      classes: ['RED FOX', 'caf\u00e9', 'crow'],
      places: [1, 0, -1, 0],
    });
  });
});
