/** The check of import directions, on a house of three rooms. */
import { expect, test } from 'vitest';
import { directionProblems, EVERYTHING, type Rooms } from '../layers/rooms.js';

const HOUSE: Rooms = {
  cellar: [],
  'cellar/shelf': [],
  hall: ['cellar'],
  door: EVERYTHING,
};

const problems = (from: string, to: string, rooms = HOUSE) =>
  directionProblems('src', rooms, [{ from: `src/${from}`, to: `src/${to}` }]);

test('lets a room import itself, what its line names, and everything where it says so', () => {
  expect(problems('hall/a.ts', 'hall/b.ts')).toEqual([]);
  expect(problems('hall/a.ts', 'cellar/deep/b.ts')).toEqual([]);
  expect(problems('door.ts', 'cellar/shelf.ts')).toEqual([]);
});

test('refuses an import that no line names', () => {
  expect(problems('cellar/a.ts', 'hall/b.ts')).toEqual([
    'src/cellar/a.ts imports src/hall/b.ts: cellar may not use hall',
  ]);
  expect(problems('hall/a.ts', 'cellar/shelf/b.ts')).toEqual([
    'src/hall/a.ts imports src/cellar/shelf/b.ts: hall may not use cellar/shelf',
  ]);
  expect(directionProblems('src', HOUSE, [{ from: 'src/hall/a.ts', to: 'other/b.ts' }])).toEqual([
    'src/hall/a.ts imports other/b.ts: outside src',
  ]);
});

test('refuses a file without a room, whoever imports whom', () => {
  const todo = 'src/attic/a.ts: no room; give it a line in scripts/layers.ts';
  expect(problems('attic/a.ts', 'hall/b.ts')).toEqual([todo]);
  expect(problems('door.ts', 'attic/a.ts')).toEqual([todo]);
});

test('refuses lines that form a cycle, and names that are no rooms', () => {
  const rooms = { cellar: ['hall'], hall: ['cellar', 'roof'] };
  expect(problems('hall/a.ts', 'cellar/b.ts', rooms)).toEqual([
    'src: the line of hall names roof, which is no room',
    'src: rooms in a cycle: cellar → hall → cellar',
  ]);
});
