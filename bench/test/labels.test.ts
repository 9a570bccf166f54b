/** Names in the comparison's picture: next to their points, clear of one another. */
import { expect, it } from 'vitest';
import { placeLabels } from '../methods/labels.js';

it('puts a lone name to the right of its point', () => {
  expect(placeLabels([{ name: 'full', x: 50, y: 40 }], 400)).toEqual([
    { name: 'full', x: 58, y: 40, align: 'left' },
  ]);
});

it('turns to the left at the right edge', () => {
  const [label] = placeLabels([{ name: 'a long name', x: 390, y: 40 }], 400);
  expect(label.align).toBe('right');
});

it('keeps the names of a crowd apart', () => {
  const dots = ['one', 'two', 'three', 'four'].map((name, i) => ({ name, x: 200, y: 100 + 3 * i }));
  const labels = placeLabels(dots, 400);
  labels.forEach((a, i) => {
    for (const b of labels.slice(i + 1)) {
      const clash = a.align === b.align && Math.abs(a.y - b.y) < 10;
      expect(clash, `${a.name} and ${b.name}`).toBe(false);
    }
  });
});
