/** The evaluation transform: sizes and offsets as torchvision computes them, values by hand. */
import { describe, expect, it } from 'vitest';
import { cropped, rawImage, type RawImage } from '../src/data/image.js';
import {
  centreCrop,
  centredDown,
  checkPreprocess,
  defaultPreprocess,
  imagenetMean,
  imagenetStd,
  normalizeInto,
  preprocessInto,
  type Preprocess,
} from '../src/data/preprocess.js';
import { resize } from '../src/data/resample.js';
import { ConfigError } from '../src/errors.js';

const small: Preprocess = { ...defaultPreprocess, size: 8 };

function picture(width: number, height: number): RawImage {
  const data = Uint8Array.from(
    { length: width * height * 3 },
    (_, i) => (i * i * 31 + i * 7) % 251,
  );
  return rawImage(width, height, data);
}

describe('centreCrop', () => {
  // edge = floor(8 / 0.9) = 8: width 8·37/23 = 12.87 → 12; offset round((12 - 8) / 2) = 2.
  it('resizes the shortest edge and takes the middle', () => {
    const image = picture(37, 23);
    const expected = cropped(resize(image, 12, 8, 'bicubic'), { x: 2, y: 0, width: 8, height: 8 });
    expect(centreCrop(image, small)).toEqual(expected);
  });

  // edge = floor(8 / 0.8) = 10; 10·19/30 = 6.33 is the short edge's other side: 30/19·10 = 15.78 →
  // 15. Offsets: round((10 - 8) / 2) = 1 across; (15 - 8) / 2 = 3.5 rounds to the even 4 down.
  it('rounds a half offset to the even neighbour', () => {
    const image = picture(19, 30);
    const expected = cropped(resize(image, 10, 15, 'bicubic'), { x: 1, y: 4, width: 8, height: 8 });
    expect(centreCrop(image, { ...small, cropPercentage: 0.8 })).toEqual(expected);
  });

  it('rounds a half offset down where the preprocessing says so', () => {
    const image = picture(19, 30);
    const expected = cropped(resize(image, 10, 15, 'bicubic'), { x: 1, y: 3, width: 8, height: 8 });
    const preprocess = centredDown({ ...small, cropPercentage: 0.8 });
    expect(preprocess.offset).toBe('down');
    expect(centreCrop(image, preprocess)).toEqual(expected);
    // Where nothing is cropped there is nothing to centre.
    const squash: Preprocess = { ...small, resize: 'squash' };
    expect(centredDown(squash)).toBe(squash);
    expect(centredDown({ ...squash, edge: 9 })).toEqual({ ...squash, edge: 9, offset: 'down' });
  });

  it('enlarges pictures smaller than the crop and survives extreme proportions', () => {
    expect(centreCrop(picture(3, 5), small)).toMatchObject({ width: 8, height: 8 });
    expect(centreCrop(picture(1, 1), small).data).toEqual(
      Uint8ClampedArray.from({ length: 192 }, (_, i) => picture(1, 1).data[i % 3]),
    );
    expect(centreCrop(picture(1, 20_000), { ...small, size: 64 })).toMatchObject({ height: 64 });
  });

  it('squashes when asked to', () => {
    const image = picture(9, 30);
    expect(centreCrop(image, { ...small, resize: 'squash' })).toEqual(
      resize(image, 8, 8, 'bicubic'),
    );
  });
});

describe('normalizeInto', () => {
  it('writes (level / 255 - mean) / std, channel by channel, into its slice only', () => {
    const preprocess = { ...defaultPreprocess, size: 2, mean: imagenetMean, std: imagenetStd };
    const image = rawImage(2, 2, Uint8Array.of(0, 51, 102, 255, 204, 153, 10, 20, 30, 40, 50, 60));
    const batch = new Float32Array(24).fill(9);
    normalizeInto(image, preprocess, batch.subarray(12));
    expect(batch.subarray(0, 12)).toEqual(new Float32Array(12).fill(9));
    [0, 255, 10, 40, 51, 204, 20, 50, 102, 153, 30, 60].forEach((level, i) => {
      const c = Math.floor(i / 4);
      const expected = (level / 255 - imagenetMean[c]) / imagenetStd[c];
      expect(Math.abs(batch[12 + i] - expected)).toBeLessThan(1e-6);
    });
  });

  it('is the last step of preprocessInto', () => {
    const image = picture(21, 13);
    const [whole, steps] = [new Float32Array(192), new Float32Array(192)];
    preprocessInto(image, small, whole);
    normalizeInto(centreCrop(image, small), small, steps);
    expect(whole).toEqual(steps);
    expect(() => normalizeInto(image, small, steps)).toThrow(
      'normalizeInto: expected a picture of 8 × 8 and 192 numbers to write, ' +
        'got 21 × 13 and 192 numbers.',
    );
  });
});

describe('checkPreprocess', () => {
  it('returns what passes', () => {
    expect(checkPreprocess(small)).toBe(small);
  });

  it.each<readonly [Partial<Preprocess>, string]>([
    [{ size: 0 }, 'preprocess, size: expected a whole number from 1 to 8192, got 0'],
    [{ size: 1e9 }, 'preprocess, size: expected a whole number from 1 to 8192, got 1000000000'],
    [
      { cropPercentage: 1.5 },
      'preprocess, cropPercentage: expected a finite number from 0.01 up to 1',
    ],
    [{ cropPercentage: 1e-300 }, 'preprocess, cropPercentage: expected a finite number from 0.01'],
    [
      { std: [1, 0, 1] },
      'preprocess, std[1]: expected a finite number from 0.000001 up to 1000000',
    ],
    [{ std: [1, 1, 1e-320] }, 'preprocess, std[2]: expected a finite number from 0.000001'],
    [
      { mean: [1e308, 0, 0] },
      'preprocess, mean[0]: expected a finite number from -1000 up to 1000',
    ],
    [{ mean: [0, NaN, 0] }, 'preprocess, mean[1]: expected a finite number from -1000 up to 1000'],
    [{ edge: 7 }, 'preprocess, edge: expected a whole number from 8 to 800, got 7'],
    [{ edge: 1e6 }, 'preprocess, edge: expected a whole number from 1 to 819200, got 1000000'],
    [{ edge: 801 }, 'preprocess, edge: expected a whole number from 8 to 800, got 801'],
  ])('names what is wrong with %o', (change, message) => {
    const check = () => checkPreprocess({ ...small, ...change });
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(message);
  });

  it('lets nothing through that is not finite, or that makes levels the same', () => {
    const image = rawImage(
      8,
      8,
      Uint8Array.from({ length: 192 }, (_, index) => index),
    );
    for (const mean of [-1000, 1000]) {
      for (const std of [1e-6, 1e6]) {
        const out = new Float32Array(192);
        const extreme = { ...small, mean: [mean, mean, mean], std: [std, std, std] } as const;
        preprocessInto(image, { ...checkPreprocess(extreme), edge: 8 }, out);
        expect(out.every(Number.isFinite)).toBe(true);
        expect(new Set(out).size).toBe(192);
      }
    }
  });
});
