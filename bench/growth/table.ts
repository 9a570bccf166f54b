/** The Markdown of the growth benchmark: what theory says of each axis, and what was measured. */
import { markdownTable, megabytes, number } from '../harness/table.js';
import { AXES, THEORY, type Axis } from './cases.js';
import { localExponent, polynomialFit, type Point } from './fit.js';
import type { GrowthPoint } from './measure.js';

export interface GrowthResult {
  readonly executor: string;
  readonly threads: number;
  readonly rounds: number;
  readonly points: readonly GrowthPoint[];
}

export function growthText(result: GrowthResult): string {
  const { executor, threads, rounds, points } = result;
  return [
    `Training steps on the ${executor} executor, threads: ${threads}; one size varies, the others stay`,
    'at B = 8 images, N = 65 tokens, D = 128 channels, L = 6 blocks (`vit-micro`).\n',
    '![milliseconds and planned bytes against batch, tokens, width and depth](growth.svg)\n',
    ...AXES.map((axis) => axisText(axis, points)),
    '## Fits\n',
    fitTable(points),
    'ms = a + b·x and bytes = a + b·x by least squares, R² beside; in brackets R² of the quadratic',
    'where theory has one. The exponent is p of y ∝ xᵖ between the last two points; that of the',
    'program’s operations is what arithmetic alone would give. Medians of',
    `${rounds} interleaved rounds. In the picture the lines are theory: the program’s operations at`,
    'the median speed of the points, and for bytes the polynomial of the degree that theory says.\n',
    '`wasi` has the ranks of a typical spectrum, fixed shares of every extent. Its time then has a',
    'part that batch and tokens do not change, the update of the factored weights, and products with',
    'Tucker factors, which are quadratic in the extents that they shorten. Its bytes are the larger',
    'of what is saved for the backward pass and what the update works in, so that they have a knee.',
    '',
  ].join('\n');
}

/** The points of one curve, ordered by x. */
export function curveOf(
  points: readonly GrowthPoint[],
  axis: Axis,
  method: string,
): readonly GrowthPoint[] {
  return points
    .filter((point) => point.axis === axis && point.method === method)
    .sort((a, b) => a.x - b.x);
}

export function methodsOf(points: readonly GrowthPoint[]): readonly string[] {
  return [...new Set(points.map(({ method }) => method))];
}

export function curve(
  points: readonly GrowthPoint[],
  value: (point: GrowthPoint) => number,
): readonly Point[] {
  return points.map((point) => ({ x: point.x, y: value(point) }));
}

function axisText(axis: Axis, points: readonly GrowthPoint[]): string {
  const { unit, time, bytes } = THEORY[axis];
  const head = ['method', `>${axis}`, '>ms/step', '>quartiles', '>GFLOP', '>GFLOP/s'];
  const rows = methodsOf(points).flatMap((method) =>
    curveOf(points, axis, method).map(({ x, ms, flops, plannedBytes, arenaBytes }) => [
      method,
      String(x),
      number(ms.median),
      `${number(ms.low)} – ${number(ms.high)}`,
      number(flops / 1e9),
      number(flops / ms.median / 1e6),
      megabytes(plannedBytes),
      megabytes(arenaBytes),
    ]),
  );
  return [
    `## ${unit.charAt(0).toUpperCase()}${unit.slice(1)}\n`,
    `Theory. Time: ${time}. Bytes: ${bytes}.\n`,
    markdownTable([...head, '>planned', '>arena'], rows),
  ].join('\n');
}

function fitTable(points: readonly GrowthPoint[]): string {
  const head = ['axis', 'method', '>ms = a + b·x', '>R²', '>exponent', '>of operations'];
  const rows = AXES.flatMap((axis) =>
    methodsOf(points).map((method) => {
      const own = curveOf(points, axis, method);
      const ms = curve(own, (point) => point.ms.median);
      const operations = curve(own, (point) => point.flops);
      const bytes = curve(own, (point) => point.plannedBytes / 1e6);
      return [
        axis,
        method,
        affineText(ms),
        r2Text(ms, axis === 'tokens' || axis === 'width'),
        localExponent(ms).toFixed(2),
        localExponent(operations).toFixed(2),
        affineText(bytes),
        r2Text(bytes, THEORY[axis].bytesDegree === 2),
        localExponent(bytes).toFixed(2),
      ];
    }),
  );
  return markdownTable([...head, '>planned MB = a + b·x', '>R²', '>exponent'], rows);
}

function affineText(points: readonly Point[]): string {
  const [a, b] = polynomialFit(points, 1).coefficients;
  return `${number(a)} ${b < 0 ? '−' : '+'} ${number(Math.abs(b))}·x`;
}

function r2Text(points: readonly Point[], isQuadratic: boolean): string {
  const affine = polynomialFit(points, 1).r2.toFixed(4);
  return isQuadratic ? `${affine} (${polynomialFit(points, 2).r2.toFixed(4)})` : affine;
}
