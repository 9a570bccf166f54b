/** The picture of the comparison: accuracy against planned memory, as SVG. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parse, View, type Spec } from 'vega';
import { placeLabels } from './labels.js';
import { ROWS } from './rows.js';
import { SETS } from './sets.js';
import { accuracyOf, testsOf, type Store } from './store.js';

/** This file runs as bench/dist/methods/picture.js. */
const path = fileURLToPath(new URL('../../results/methods.svg', import.meta.url));

interface Point {
  readonly name: string;
  readonly family: string;
  readonly megabytes: number;
  /** Percent. */
  readonly accuracy: number;
  readonly low: number;
  readonly high: number;
}

/** Draws the first set's rows into bench/results/methods.svg. */
export async function drawPicture(store: Store): Promise<void> {
  const [{ name }] = SETS;
  const points = pointsOf(store, name);
  if (points.length === 0) return;
  const view = new View(parse(specification(points, store.init, name)), { renderer: 'none' });
  await writeFile(path, await view.toSVG());
  view.finalize();
}

function pointsOf(store: Store, set: string): readonly Point[] {
  return ROWS.flatMap((row) => {
    const runs = testsOf(store, row, set);
    const accuracy = accuracyOf(runs, store.photos[set]?.test ?? 0);
    if (!accuracy) return [];
    const percent = runs.map((run) => 100 * run.outcome.accuracy);
    return [
      {
        name: row.name,
        family: row.family,
        megabytes: runs[0].outcome.plannedBytes / 1e6,
        accuracy: 100 * accuracy.mean,
        low: Math.min(...percent),
        high: Math.max(...percent),
      },
    ];
  });
}

const WIDTH = 820;
const HEIGHT = 480;

/** The ends of an axis with some room around the values. */
function domainOf(values: readonly number[], log: boolean): readonly [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return log ? [low / 1.25, high * 1.6] : [Math.floor(low - 0.5), Math.ceil(high + 0.5)];
}

function labelsOf(
  points: readonly Point[],
  [left, right]: readonly [number, number],
  [bottom, top]: readonly [number, number],
) {
  const dots = points.map(({ name, megabytes, accuracy }) => ({
    name,
    x: (WIDTH * Math.log(megabytes / left)) / Math.log(right / left),
    y: (HEIGHT * (top - accuracy)) / (top - bottom),
  }));
  return [...placeLabels(dots, WIDTH)];
}

function specification(points: readonly Point[], model: string, set: string): Spec {
  const across = domainOf(
    points.map((point) => point.megabytes),
    true,
  );
  const up = domainOf(
    points.flatMap(({ low, high }) => [low, high]),
    false,
  );
  const x = { scale: 'x', field: 'megabytes' };
  const colour = { scale: 'colour', field: 'family' };
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: WIDTH,
    height: HEIGHT,
    padding: 12,
    background: 'white',
    title: { text: `${model} on ${set}`, subtitle: 'upper left is better' },
    data: [
      { name: 'points', values: [...points] },
      { name: 'labels', values: labelsOf(points, across, up) },
    ],
    scales: [
      {
        name: 'x',
        type: 'log',
        range: 'width',
        domain: [...across],
      },
      {
        name: 'y',
        range: 'height',
        zero: false,
        domain: [...up],
      },
      {
        name: 'colour',
        type: 'ordinal',
        range: 'category',
        domain: { data: 'points', field: 'family' },
      },
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: 'planned memory, MB', format: '~s', grid: true },
      { orient: 'left', scale: 'y', title: 'test accuracy, %', grid: true },
    ],
    legends: [{ fill: 'colour', title: 'method', orient: 'right' }],
    marks: [
      {
        type: 'rule',
        from: { data: 'points' },
        encode: {
          enter: {
            x,
            y: { scale: 'y', field: 'low' },
            y2: { scale: 'y', field: 'high' },
            stroke: colour,
          },
        },
      },
      {
        type: 'symbol',
        from: { data: 'points' },
        encode: {
          enter: { x, y: { scale: 'y', field: 'accuracy' }, fill: colour, size: { value: 70 } },
        },
      },
      {
        type: 'text',
        from: { data: 'labels' },
        encode: {
          enter: {
            x: { field: 'x' },
            y: { field: 'y' },
            align: { field: 'align' },
            baseline: { value: 'middle' },
            text: { field: 'name' },
            fontSize: { value: 10 },
          },
        },
      },
    ],
  };
}
