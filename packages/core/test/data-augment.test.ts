/** Augmentation: boxes, mirrors and colours against torchvision's rules; independence of order. */
import { describe, expect, it } from 'vitest';
import {
  adjustBrightness,
  adjustContrast,
  adjustSaturation,
  augmented,
  augmentInto,
  augmentNamed,
  augmentRandom,
  augments,
  leastSide,
  mirror,
  randomCropBox,
} from '../src/data/augment.js';
import { rawImage } from '../src/data/image.js';
import { centreCrop, defaultPreprocess } from '../src/data/preprocess.js';
import { UnknownNameError } from '../src/errors.js';
import { Random } from '../src/random.js';

const preprocess = { ...defaultPreprocess, size: 16 };
const image = rawImage(
  40,
  30,
  Uint8Array.from({ length: 3600 }, (_, i) => (i * i * 13 + i) % 256),
);

describe('leastSide', () => {
  it('is the side from which on no crop is smaller than what it becomes', () => {
    const large = { ...defaultPreprocess, size: 224 };
    expect(leastSide(augments.light, large)).toBe(366);
    expect(leastSide(augments.standard, large)).toBe(518);
    expect(leastSide(augments.flip, large)).toBe(null);
    let [least, all] = [Infinity, 0];
    for (const { crop } of [augments.light, augments.standard]) {
      if (crop === null) continue;
      const side = leastSide({ ...augments.none, crop }, large) ?? 0;
      for (const [width, height] of [
        [side, side],
        [2 * side, side],
        [side, 9 * side],
      ]) {
        for (let draw = 0; draw < 2000; draw++, all++) {
          const random = Random.of(draw, 'crops');
          const box = randomCropBox(width, height, crop.scale, crop.ratio, random);
          least = Math.min(least, box.width, box.height);
        }
      }
    }
    expect(all).toBe(12_000);
    expect(least).toBeGreaterThanOrEqual(224);
    expect(least).toBeLessThan(240); // and not much more is kept than that takes
  });
});

describe('randomCropBox', () => {
  it('stays inside with area and proportions in range', () => {
    const random = Random.of(0, 'boxes');
    const shares: number[] = [];
    for (let i = 0; i < 2_000; i++) {
      const box = randomCropBox(400, 300, [0.25, 1], [3 / 4, 4 / 3], random);
      expect(box.x + box.width <= 400 && box.y + box.height <= 300).toBe(true);
      const share = (box.width * box.height) / 120_000;
      const ratio = box.width / box.height;
      expect(share).toBeGreaterThan(0.245); // rounding to whole pixels
      expect(ratio > 0.74 && ratio < 1.35).toBe(true);
      shares.push(share);
    }
    const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
    expect(Math.abs(mean - 0.522)).toBeLessThan(0.02); // torchvision's loop in Python: 0.5218
  });

  it('falls back to the largest centred crop of an allowed ratio', () => {
    const random = Random.of(0);
    expect(randomCropBox(1000, 10, [0.9, 1], [3 / 4, 4 / 3], random)).toEqual({
      x: 493,
      y: 0,
      width: 13,
      height: 10,
    });
    expect(randomCropBox(10, 1000, [0.9, 1], [3 / 4, 4 / 3], random)).toEqual({
      x: 0,
      y: 493,
      width: 10,
      height: 13,
    });
    expect(randomCropBox(1, 1, [0.1, 0.2], [1, 1], random)).toMatchObject({ width: 1, height: 1 });
  });
});

// torchvision.transforms.functional.adjust_* on uint8 tensors: blend, clamp, cut to whole levels.
describe('colours', () => {
  const pixels = () => Uint8ClampedArray.of(10, 20, 30, 200, 100, 250);
  // Greys: trunc(0.2989·10 + 0.587·20 + 0.114·30) = trunc(18.1) = 18 and trunc(146.98) = 146.

  it('brightness multiplies and clips', () => {
    const data = pixels();
    adjustBrightness(data, 1.25);
    expect(Array.from(data)).toEqual([12, 25, 37, 250, 125, 255]);
  });

  it('contrast moves away from the mean grey', () => {
    const data = pixels();
    adjustContrast(data, 0.5); // mean grey 82: x/2 + 41
    expect(Array.from(data)).toEqual([46, 51, 56, 141, 91, 166]);
  });

  it('saturation moves away from the grey of the pixel', () => {
    const data = pixels();
    adjustSaturation(data, 0);
    expect(Array.from(data)).toEqual([18, 18, 18, 146, 146, 146]);
  });
});

describe('augmented', () => {
  it('is evaluation when nothing is asked for', () => {
    expect(augmented(image, augments.none, preprocess, augmentRandom(0, 0, 0))).toEqual(
      centreCrop(image, preprocess),
    );
  });

  it('mirrors half of the pictures', () => {
    const plain = centreCrop(image, preprocess);
    const mirrored = mirror(plain);
    expect(mirror(mirrored)).toEqual(plain);
    const flips = Array.from({ length: 400 }, (_, index) => {
      const out = augmented(image, augments.flip, preprocess, augmentRandom(1, 2, index));
      expect([plain, mirrored]).toContainEqual(out);
      return out.data[0] === mirrored.data[0] && out.data[47] === mirrored.data[47] ? 1 : 0;
    });
    const share = flips.reduce<number>((a, b) => a + b, 0) / 400;
    expect(share > 0.4 && share < 0.6).toBe(true);
  });

  it('depends on seed, epoch and index, not on what was drawn before', () => {
    const draw = (seed: number, epoch: number, index: number) => {
      const out = new Float32Array(768);
      const random = augmentRandom(seed, epoch, index);
      augmentInto(image, augments.standard, preprocess, random, out);
      return out;
    };
    const first = draw(3, 1, 5);
    const others = [draw(4, 1, 5), draw(3, 2, 5), draw(3, 1, 6)];
    for (const other of others) expect(other).not.toEqual(first);
    expect(draw(3, 1, 5)).toEqual(first);
    expect(first.every((x) => x >= -1 && x <= 1)).toBe(true);
  });
});

it('augmentNamed knows the presets and lists them otherwise', () => {
  expect(augmentNamed('light')).toBe(augments.light);
  expect(() => augmentNamed('heavy')).toThrow(UnknownNameError);
  expect(() => augmentNamed('heavy')).toThrow('one of none, flip, light, standard');
});
