/** Images as levels that the model normalises: the same bits as numbers, in a quarter of the bytes. */
import { describe, expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { levelTable } from '../src/data/levels.js';
import { imagenetMean, imagenetStd, normalizeInto } from '../src/data/preprocess.js';
import { defaultPreprocess } from '../src/data/preprocess.js';
import { rawImage, type RawImage } from '../src/data/image.js';
import { ConfigError } from '../src/errors.js';
import { buildModel, type ModelConfig } from '../src/models/index.js';
import type { BuildOptions } from '../src/models/options.js';
import { parameters } from '../src/ir/graph.js';
import { adamw } from '../src/optim/adamw.js';
import { memoryReport } from '../src/plan/report.js';
import { Random } from '../src/random.js';
import type { SavedForm } from '../src/passes/saved.js';
import { EXECUTORS } from './executors.js';
import { SMALL, started, step, TINY } from './tiny-vit.js';

const IMAGENET = { mean: imagenetMean, std: imagenetStd };
const BATCH = 4;
const SWIN: ModelConfig = {
  ...{ family: 'swin', imageSize: 16, patch: 2, channels: 3, width: 8, depths: [2, 1] },
  ...{ heads: [2, 4], window: 4, mlpRatio: 2, classes: 3, layerNormEps: 1e-5 },
};

function pictures(size: number): readonly RawImage[] {
  const random = Random.of(11, 'pictures');
  return Array.from({ length: BATCH }, () =>
    rawImage(
      size,
      size,
      Uint8Array.from({ length: 3 * size ** 2 }, () => random.below(256)),
    ),
  );
}

it('holds a number for each level, with the bits of normalizeInto', () => {
  const all = Uint8Array.from({ length: 256 * 3 }, (_, i) => Math.floor(i / 3));
  const preprocess = { ...defaultPreprocess, ...IMAGENET, size: 16 };
  const numbers = new Float32Array(3 * 256);
  normalizeInto(rawImage(16, 16, all), preprocess, numbers);
  expect(levelTable(IMAGENET)).toEqual(numbers);
});

describe.each([
  ['vit', SMALL],
  ['swin', SWIN],
] as const)('%s', (_family, config) => {
  const options = (batch: number, rest: Partial<BuildOptions>) => ({ batch, ...rest });
  const programOf = (levels: boolean, saved: SavedForm) =>
    compile({
      model: (batch, mode) =>
        buildModel(config, options(batch, { mode, ...(levels && { levels: IMAGENET }) })),
      ...{ optimizer: adamw(), batch: BATCH, saved },
    });

  it.each(EXECUTORS)('trains to the same bits on $name', async (kind) => {
    const preprocess = { ...defaultPreprocess, ...IMAGENET, size: config.imageSize };
    const model = buildModel(config, { batch: 1 });
    const ends = [];
    for (const levels of [false, true]) {
      const count = 3 * config.imageSize ** 2;
      const images = levels ? new Int8Array(BATCH * count) : new Float32Array(BATCH * count);
      pictures(config.imageSize).forEach((picture, row) => {
        normalizeInto(picture, preprocess, images.subarray(row * count, (row + 1) * count));
      });
      const labels = Int32Array.from({ length: BATCH }, (_, row) => row % config.classes);
      const executor = await started(kind, programOf(levels, 'exact'), model);
      const losses = [];
      for (let number = 1; number <= 3; number++) {
        const batch = { images, labels, real: BATCH };
        losses.push(await step(executor, adamw(), number, 1e-3, batch));
      }
      const weights = [];
      for (const { name } of parameters(model.graph)) weights.push(await executor.read(name));
      ends.push({ losses, weights });
    }
    // The reference holds numbers in float64: there those of the batch are rounded already.
    expect(ends[1]).toEqual(ends[0]);
  });

  it.each(['exact', 'compact', 'smallest'] as const)('keeps only bytes, saved %s', (saved) => {
    const [numbers, levels] = [false, true].map((is) => memoryReport(programOf(is, saved), 1));
    const pixels = BATCH * 3 * config.imageSize ** 2;
    // Patches as numbers, or in 8 bits with a scale for 64 at most, are not saved any more.
    const least = saved === 'exact' ? 4 * pixels : pixels;
    expect(numbers.savedBytes - levels.savedBytes).toBeGreaterThanOrEqual(least);
  });
});

it('refuses another number of channels than the model has', () => {
  const build = () => buildModel(TINY, { batch: 1, levels: IMAGENET });
  expect(build).toThrow(ConfigError);
  expect(build).toThrow('levels: expected a mean and a standard deviation for each of 1 channels');
});
