/** The parts of the backbone's training that are no part of the product. */
import { describe, expect, it } from 'vitest';
import {
  buildModel,
  compile,
  initialise,
  parseMethod,
  referenceExecutor,
  sgd,
} from '@thimble/core';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { testFeed, trainingFeed } from '../feed.js';
import { initialiseMimetic } from '../mimetic.js';
import { configOf } from '../recipe.js';
import { readTiles, union, type Tiles } from '../sheets.js';

const SIZE = 4;

/** `count` tiles, tile i all of level i. */
function plainTiles(count: number): Tiles {
  return {
    classes: ['even', 'odd'],
    images: Array.from({ length: count }, (_, i) => new Uint8Array(SIZE * SIZE * 3).fill(i)),
    labels: Array.from({ length: count }, (_, i) => i % 2),
  };
}

describe('feed', () => {
  const options = { batch: 4, size: SIZE, seed: 3 };

  it('fills whole batches in an order of its own for each epoch, the same for a seed', () => {
    const order = (epoch: number, seed = 3) =>
      [...trainingFeed(plainTiles(9), { ...options, seed }, epoch)].flatMap(({ labels }) => [
        ...labels,
      ]);
    expect(order(0)).toHaveLength(8);
    expect(order(0)).toEqual(order(0));
    const orders = [order(0), order(1), order(2), order(0, 4)].map((labels) => labels.join(''));
    expect(new Set(orders).size).toBeGreaterThan(1);
  });

  it('moves a picture and leaves grey where it was not', () => {
    const white: Tiles = { ...plainTiles(64), images: Array.from({ length: 64 }, whiteTile) };
    const values = new Set<number>();
    for (const { images } of trainingFeed(white, options, 0)) images.forEach((v) => values.add(v));
    expect([...values].sort()).toEqual([0, 1]);
  });

  it('shows a test set as it is and says how many rows count', () => {
    const rows: [level: number, label: number][] = [];
    const counts: number[] = [];
    for (const { images, labels, real } of testFeed(plainTiles(10), options, 2)) {
      counts.push(real);
      for (let r = 0; r < real; r++) {
        rows.push([Math.round((images[r * 3 * SIZE * SIZE] + 1) * 127.5), labels[r]]);
      }
    }
    expect(counts).toEqual([4, 1]);
    expect(rows).toEqual([0, 2, 4, 6, 8].map((level) => [level, 0]));
  });
});

describe('mimetic initialisation', () => {
  it('starts with W_Q = W_K near orthonormal rows and W_proj W_V near -0.4 I', async () => {
    const config = { ...configOf(2), depth: 1 };
    const executor = await referenceExecutor.load(
      compile({
        model: (batch) => buildModel(config, { batch }),
        method: parseMethod('full'),
        optimizer: sgd({}),
        batch: 1,
      }),
    );
    initialise(executor, buildModel(config, { batch: 1 }), 0);
    initialiseMimetic(executor, config, 0);
    const D = config.width;
    const qkv = await executor.read('blocks.0.attn.qkv.weight');
    const proj = await executor.read('blocks.0.attn.proj.weight');
    const dot = (row: number, other: number) => {
      let sum = 0;
      for (let j = 0; j < D; j++) sum += qkv[row * D + j] * qkv[other * D + j];
      return sum;
    };
    const value = (i: number, j: number) => {
      let sum = 0;
      for (let k = 0; k < D; k++) sum += proj[i * D + k] * qkv[(2 * D + k) * D + j];
      return sum;
    };
    // Noise of 0.02 in each of D columns leaves about ±0.03 on a diagonal element.
    expect(Math.abs(dot(0, D) - 0.7)).toBeLessThan(0.1);
    expect(Math.abs(dot(0, D + 1))).toBeLessThan(0.1);
    expect(Math.abs(value(5, 5) + 0.4)).toBeLessThan(0.1);
    expect(Math.abs(value(5, 6))).toBeLessThan(0.1);
    const positions = await executor.read('pos_embed');
    expect(Array.from(positions.subarray(0, D)).every((v) => v === 0)).toBe(true);
    // Patch (1, 0): sin and cos of column 1, then of row 0.
    expect(positions[2 * D]).toBeCloseTo(0.5 * Math.sin(1), 6);
    await executor.dispose();
  });
});

describe('sheets', () => {
  it('cuts tiles out of a sheet and joins sets', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sheets-'));
    const [tile, cols, n] = [8, 2, 3];
    const pixels = Buffer.alloc(2 * tile * 2 * tile * 3);
    pixels.forEach((_, i) => {
      const [x, y] = [Math.floor(i / 3) % (2 * tile), Math.floor(i / (3 * 2 * tile))];
      pixels[i] = 60 * (Math.floor(y / tile) * cols + Math.floor(x / tile));
    });
    const raw = { width: 2 * tile, height: 2 * tile, channels: 3 as const };
    await sharp(pixels, { raw }).png().toFile(join(folder, 'a.png'));
    const train = { file: 'a.png', cols, n };
    const classes = [{ words: 'goldfish, Carassius auratus', train }];
    writeFileSync(join(folder, 'index.json'), JSON.stringify({ tile, classes }));
    const tiles = await readTiles(folder, 'train', SIZE);
    expect(tiles.classes).toEqual(['goldfish']);
    expect(tiles.images.map((image) => [image.length, image[0], image[47]])).toEqual([
      [48, 0, 0],
      [48, 60, 60],
      [48, 120, 120],
    ]);
    const both = union([tiles, { ...tiles, classes: ['other'] }]);
    expect(both.labels).toEqual([0, 0, 0, 1, 1, 1]);
    expect(() => union([tiles, tiles])).toThrow('two classes have the same name');
  });
});

function whiteTile(): Uint8Array {
  return new Uint8Array(SIZE * SIZE * 3).fill(255);
}
