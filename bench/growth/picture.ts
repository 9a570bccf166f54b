/** The picture of growth: small multiples, an axis in each column, time above bytes, as SVG. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parse, View, type Mark, type Spec } from 'vega';
import { median } from '../harness/statistics.js';
import { AXES, THEORY, type Axis } from './cases.js';
import { evaluate, polynomialFit, type Point } from './fit.js';
import type { GrowthPoint } from './measure.js';
import { curve, curveOf, methodsOf, type GrowthResult } from './table.js';

/** This file runs as bench/dist/growth/picture.js. */
const path = fileURLToPath(new URL('../../results/growth.svg', import.meta.url));

/** Of one panel. */
const WIDTH = 205;
const HEIGHT = 165;
/** Between panels: room for the titles of axes. */
const GAP = { x: 52, y: 62 } as const;
const LEGEND_HEIGHT = 40;
/** Blue and vermilion of Okabe and Ito: told apart by everybody. */
const COLOURS = ['#0072b2', '#d55e00'];
/** Points of a line that stands for a curve. */
const RESOLUTION = 40;

/** Draws bench/results/growth.svg. */
export async function drawPicture(result: GrowthResult): Promise<void> {
  const view = new View(parse(specification(result)), { renderer: 'none' });
  await writeFile(path, await view.toSVG());
  view.finalize();
}

type Quantity = 'ms' | 'bytes';
interface MethodPoint extends Point {
  readonly method: string;
}

/**
 * What theory says between the first and the last point. Time: the operations of the program, which
 * are a polynomial of second degree on every axis, at the median speed of the points. Bytes: the
 * best polynomial of the degree that theory says.
 */
export function theoryLine(
  axis: Axis,
  own: readonly GrowthPoint[],
  quantity: Quantity,
): readonly Point[] {
  const [first, last] = [own[0].x, own[own.length - 1].x];
  const msPerFlop = median(own.map(({ ms, flops }) => ms.median / flops));
  const { coefficients } =
    quantity === 'ms'
      ? polynomialFit(
          curve(own, ({ flops }) => flops * msPerFlop),
          2,
        )
      : polynomialFit(
          curve(own, ({ plannedBytes }) => plannedBytes / 1e6),
          THEORY[axis].bytesDegree,
        );
  return Array.from({ length: RESOLUTION + 1 }, (_, i) => {
    const x = first + ((last - first) * i) / RESOLUTION;
    return { x, y: evaluate(coefficients, x) };
  });
}

function specification({ points, executor, threads }: GrowthResult): Spec {
  const methods = methodsOf(points);
  const rows: readonly Quantity[] = ['ms', 'bytes'];
  return {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: AXES.length * (WIDTH + GAP.x) - GAP.x,
    height: LEGEND_HEIGHT + rows.length * (HEIGHT + GAP.y) - GAP.y,
    padding: 14,
    background: 'white',
    title: {
      text: 'What a training step costs as one size grows',
      subtitle: `vit-micro (B = 8, N = 65, D = 128, L = 6), ${executor}, threads: ${threads}`,
      ...TITLE,
    },
    marks: [
      ...legend(methods),
      ...rows.flatMap((quantity, row) =>
        AXES.map((axis, column) => panel(points, axis, quantity, { row, column })),
      ),
    ],
  };
}

const TITLE = {
  anchor: 'start',
  frame: 'group',
  fontSize: 15,
  subtitleFontSize: 11,
  subtitleColor: '#555555',
  offset: 10,
} as const;

/** One panel with scales and axes of its own. */
function panel(
  points: readonly GrowthPoint[],
  axis: Axis,
  quantity: Quantity,
  { row, column }: { readonly row: number; readonly column: number },
): Mark {
  const methods = methodsOf(points);
  const curves = methods.map((method) => ({ method, own: curveOf(points, axis, method) }));
  const valueOf = ({ ms, plannedBytes }: GrowthPoint) =>
    quantity === 'ms' ? ms.median : plannedBytes / 1e6;
  const dots = curves.flatMap(({ method, own }) => named(method, curve(own, valueOf)));
  const lines = curves.flatMap(({ method, own }) => named(method, theoryLine(axis, own, quantity)));
  const all = [...dots, ...lines];
  const title = quantity === 'ms' ? 'ms per step' : 'planned memory, MB';
  return {
    type: 'group',
    encode: {
      enter: {
        x: { value: column * (WIDTH + GAP.x) },
        y: { value: LEGEND_HEIGHT + row * (HEIGHT + GAP.y) },
        width: { value: WIDTH },
        height: { value: HEIGHT },
      },
    },
    data: [
      { name: 'dots', values: dots },
      { name: 'lines', values: lines },
    ],
    scales: [
      { name: 'x', range: [0, WIDTH], domain: [0, highest(all, 'x')], nice: true },
      { name: 'y', range: [HEIGHT, 0], domain: [0, highest(all, 'y')], nice: true },
      { name: 'colour', type: 'ordinal', range: COLOURS, domain: [...methods] },
    ],
    axes: [
      { ...AXIS, orient: 'bottom', scale: 'x', gridScale: 'y', title: THEORY[axis].unit },
      { ...AXIS, orient: 'left', scale: 'y', gridScale: 'x', ...(column === 0 ? { title } : {}) },
    ],
    marks: [theoryMark(), dotMark()],
  };
}

const AXIS = {
  grid: true,
  gridColor: '#e4e4e4',
  domainColor: '#888888',
  tickColor: '#888888',
  tickCount: 5,
  labelFontSize: 10,
  titleFontSize: 11,
  titleFontWeight: 'normal',
} as const;

function theoryMark(): Mark {
  return {
    type: 'group',
    from: { facet: { name: 'line', data: 'lines', groupby: 'method' } },
    marks: [
      {
        type: 'line',
        from: { data: 'line' },
        encode: {
          enter: {
            x: { scale: 'x', field: 'x' },
            y: { scale: 'y', field: 'y' },
            stroke: { scale: 'colour', field: 'method' },
            strokeWidth: { value: 1.5 },
            strokeOpacity: { value: 0.65 },
          },
        },
      },
    ],
  };
}

function dotMark(): Mark {
  return {
    type: 'symbol',
    from: { data: 'dots' },
    encode: {
      enter: {
        x: { scale: 'x', field: 'x' },
        y: { scale: 'y', field: 'y' },
        fill: { scale: 'colour', field: 'method' },
        stroke: { value: 'white' },
        size: { value: 55 },
      },
    },
  };
}

/** What the colours are, in one row. */
function legend(methods: readonly string[]): readonly Mark[] {
  return methods.map((method, index): Mark => {
    const [x, y] = [index * 250, 12];
    const fill = { value: COLOURS[index] };
    const text = `${method}: ● measured  — theory`;
    const place = { x: { value: x }, y: { value: y } };
    const font = { text: { value: text }, fill, fontSize: { value: 12 } };
    return { type: 'text', encode: { enter: { ...place, ...font } } };
  });
}

function named(method: string, points: readonly Point[]): MethodPoint[] {
  return points.map((point) => ({ ...point, method }));
}

function highest(points: readonly Point[], key: keyof Point): number {
  return Math.max(...points.map((point) => point[key]));
}
