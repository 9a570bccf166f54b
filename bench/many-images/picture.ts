/** The picture of memory over the time of a run, a line for each number of images, as SVG. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parse, View, type Spec } from 'vega';
import type { MemoryCurve } from './watch.js';

/** This file runs as bench/dist/many-images/picture.js. */
const path = fileURLToPath(new URL('../../results/many-images.svg', import.meta.url));

/** Blue, vermilion and green of Okabe and Ito: told apart by everybody. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73'];

/** Draws bench/results/many-images.svg. */
export async function drawCurves(curves: readonly MemoryCurve[]): Promise<void> {
  const view = new View(parse(specification(curves)), { renderer: 'none' });
  await writeFile(path, await view.toSVG());
  view.finalize();
}

function specification(curves: readonly MemoryCurve[]): Spec {
  const names = curves.map(({ images }) => `${images.toLocaleString('en')} images`);
  const values = curves.flatMap(({ samples }, index) =>
    samples.map(([time, bytes]) => ({ name: names[index], x: 100 * time, y: bytes / 1e6 })),
  );
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    ...{ width: 560, height: 260, padding: 14, background: 'white' },
    title: { text: 'Memory of a process that trains the head of vit-micro for one epoch' },
    data: [{ name: 'samples', values }],
    scales: [
      { name: 'x', domain: [0, 100], range: 'width' },
      {
        name: 'y',
        domain: { data: 'samples', field: 'y' },
        range: 'height',
        ...{ zero: true, nice: true },
      },
      { name: 'colour', type: 'ordinal', domain: names, range: COLOURS },
    ],
    axes: [
      { orient: 'bottom', scale: 'x', title: '% of the time of the run' },
      { orient: 'left', scale: 'y', title: 'resident memory, MB', grid: true },
    ],
    legends: [{ stroke: 'colour', orient: 'bottom-right', symbolType: 'stroke' }],
    marks: [
      {
        type: 'group',
        from: { facet: { name: 'line', data: 'samples', groupby: 'name' } },
        marks: [
          {
            type: 'line',
            from: { data: 'line' },
            encode: {
              enter: {
                x: { scale: 'x', field: 'x' },
                y: { scale: 'y', field: 'y' },
                stroke: { scale: 'colour', field: 'name' },
                strokeWidth: { value: 1.5 },
              },
            },
          },
        ],
      },
    ],
  };
}
