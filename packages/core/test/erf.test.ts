/**
 * erf, Φ and φ against values that mpmath 1.3 computed with 60 digits (`mp.dps = 60`) and that were then
 * rounded to double: `mp.erf(x)`, `mp.erfc(-x / mp.sqrt(2)) / 2`, `mp.npdf(x)`, x the exact double.
 */
import { describe, expect, it } from 'vitest';
import { erf, normalCdf, normalPdf } from '../src/ops/erf.js';

const ERF: readonly (readonly [x: number, expected: number])[] = [
  [1e-300, 1.1283791670955126e-300],
  [1e-8, 1.1283791670955126e-8],
  [0.01, 0.011283415555849618],
  [0.1, 0.1124629160182849],
  [0.3, 0.3286267594591274],
  [0.5, 0.5204998778130465],
  [0.75, 0.7111556336535151],
  [1.0, 0.8427007929497149],
  [1.3, 0.9340079449406524],
  [1.7, 0.9837904585907745],
  [2.0, 0.9953222650189527],
  [2.3, 0.9988568234026434],
  [2.499, 0.9995908642442554],
  [2.5, 0.999593047982555],
  [2.6, 0.9997639655834707],
  [3.0, 0.9999779095030014],
  [3.5, 0.9999992569016276],
  [4.0, 0.9999999845827421],
  [5.0, 0.9999999999984626],
  [6.0, 1.0],
];

const CDF: readonly (readonly [x: number, expected: number])[] = [
  [-30.0, 4.906713927148187e-198],
  [-12.0, 1.776482112077679e-33],
  [-8.0, 6.220960574271784e-16],
  [-5.5, 1.8989562465887718e-8],
  [-4.0, 3.1671241833119924e-5],
  [-3.6, 0.00015910859015753383],
  [-3.5, 0.00023262907903552504],
  [-3.0, 0.0013498980316300946],
  [-2.5, 0.006209665325776135],
  [-1.8, 0.0359303191129258],
  [-1.7, 0.04456546275854304],
  [-1.0, 0.15865525393145705],
  [-0.5, 0.3085375387259869],
  [-1e-8, 0.4999999960105772],
  [0.0, 0.5],
  [0.25, 0.5987063256829237],
  [1.0, 0.8413447460685429],
  [2.0, 0.9772498680518208],
  [3.6, 0.9998408914098424],
  [8.5, 1.0],
];

const PDF: readonly (readonly [x: number, expected: number])[] = [
  [0.0, 0.3989422804014327],
  [0.5, 0.35206532676429947],
  [-1.0, 0.24197072451914334],
  [3.0, 0.0044318484119380075],
  [-8.0, 5.052271083536892e-15],
];

/** |actual − expected| / |expected|. */
function relative(actual: number, expected: number): number {
  return Math.abs(actual - expected) / Math.abs(expected);
}

describe('erf', () => {
  it.each(ERF)('of %d is %d', (x, expected) => {
    expect(relative(erf(x), expected)).toBeLessThan(1e-15);
    expect(erf(-x)).toBe(-erf(x));
  });

  it('is exact where it must be', () => {
    expect(erf(0)).toBe(0);
    expect(erf(Infinity)).toBe(1);
    expect(erf(-Infinity)).toBe(-1);
    expect(erf(NaN)).toBeNaN();
  });

  it('has no jump where the series hands over to the fraction', () => {
    const below = 2.5 - 2 ** -51;
    // The derivative there is 0.0022: neighbouring doubles have the same erf up to rounding.
    expect(Math.abs(erf(2.5) - erf(below))).toBeLessThanOrEqual(2 ** -52);
  });
});

describe('the standard normal distribution', () => {
  // x² is rounded before exp, which magnifies its error by x²/2.
  it.each(CDF)('Φ(%d) is %d', (x, expected) => {
    expect(relative(normalCdf(x), expected)).toBeLessThan(4e-15 + x * x * 2 ** -53);
  });

  it.each(PDF)('φ(%d) is %d', (x, expected) => {
    expect(relative(normalPdf(x), expected)).toBeLessThan(1e-15);
  });

  it('has its limits, and keeps NaN', () => {
    expect([normalCdf(-Infinity), normalCdf(Infinity)]).toEqual([0, 1]);
    expect([normalPdf(-Infinity), normalPdf(Infinity)]).toEqual([0, 0]);
    expect(normalCdf(NaN)).toBeNaN();
    expect(normalPdf(NaN)).toBeNaN();
  });
});
