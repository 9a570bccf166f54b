/** How a quantity grows: least squares and local exponents. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** y ≈ Σ coefficients[i] xⁱ. */
export interface Fit {
  readonly coefficients: readonly number[];
  /** Share of the variance of y that the fit explains; 1 where y does not vary. */
  readonly r2: number;
}

/**
 * The polynomial of `degree` with the least squared error; degree 1 is y = a + b x.
 * Throws RangeError for fewer than degree + 1 different x.
 */
export function polynomialFit(points: readonly Point[], degree: 1 | 2): Fit {
  const distinct = new Set(points.map(({ x }) => x)).size;
  if (distinct <= degree) {
    throw new RangeError(`fit: expected more than ${degree} different x, got ${distinct}`);
  }
  // In x / scale, so that powers of large x do not swamp the rest.
  const scale = Math.max(...points.map(({ x }) => Math.abs(x)));
  const powers = (x: number) => Array.from({ length: degree + 1 }, (_, i) => (x / scale) ** i);
  const rows = powers(0).map((_, i) => [
    ...powers(0).map((__, j) => total(points.map(({ x }) => powers(x)[i] * powers(x)[j]))),
    total(points.map(({ x, y }) => powers(x)[i] * y)),
  ]);
  const coefficients = solve(rows).map((value, i) => value / scale ** i);
  const mean = total(points.map(({ y }) => y)) / points.length;
  const around = total(points.map(({ y }) => (y - mean) ** 2));
  const left = total(points.map(({ x, y }) => (y - evaluate(coefficients, x)) ** 2));
  return { coefficients, r2: around === 0 ? 1 : 1 - left / around };
}

export function evaluate(coefficients: readonly number[], x: number): number {
  return coefficients.reduceRight((sum, coefficient) => sum * x + coefficient, 0);
}

/**
 * p of y ∝ xᵖ between the last two points: 1 is linear, 2 quadratic, less than 1 has a constant part.
 * Throws RangeError for fewer than two points.
 */
export function localExponent(points: readonly Point[]): number {
  if (points.length < 2)
    throw new RangeError(`exponent: expected two points, got ${points.length}`);
  const [before, last] = points.slice(-2);
  return Math.log(last.y / before.y) / Math.log(last.x / before.x);
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Gauss and Jordan's elimination with pivots; a row is the coefficients and the right-hand side. */
function solve(system: readonly (readonly number[])[]): readonly number[] {
  let rows = system;
  for (let column = 0; column < system.length; column++) {
    const rest = rows.slice(column);
    const pivot = rest.reduce((a, b) => (Math.abs(b[column]) > Math.abs(a[column]) ? b : a));
    const unit = pivot.map((value) => value / pivot[column]);
    const others = [...rows.slice(0, column), ...rest.filter((row) => row !== pivot)];
    const reduced = others.map((row) => row.map((value, j) => value - row[column] * unit[j]));
    rows = [...reduced.slice(0, column), unit, ...reduced.slice(column)];
  }
  return rows.map((row) => row[row.length - 1]);
}
