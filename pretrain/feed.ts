/**
 * Batches of tiles: shuffled, shifted by up to 4 pixels with grey around, mirrored half of the time.
 * All draws follow from (seed, epoch, index), so that a run can be repeated.
 */
import { Random, type Batch } from '@thimble/core';
import type { Tiles } from './sheets.js';

/** Largest shift in pixels. */
const SHIFT = 4;

export interface FeedOptions {
  readonly batch: number;
  readonly size: number;
  readonly seed: number;
}

/** One epoch; the rest that fills no batch is left out. */
export function* trainingFeed(tiles: Tiles, options: FeedOptions, epoch: number): Iterable<Batch> {
  const { batch, size, seed } = options;
  const order = Uint32Array.from({ length: tiles.images.length }, (_, i) => i);
  Random.of(seed, 'order', epoch).shuffle(order);
  const { images, labels, row } = buffers(batch, size);
  for (let start = 0; start + batch <= order.length; start += batch) {
    for (let r = 0; r < batch; r++) {
      const index = order[start + r];
      const random = Random.of(seed, 'augment', epoch, index);
      const [dx, dy] = [random.below(2 * SHIFT + 1) - SHIFT, random.below(2 * SHIFT + 1) - SHIFT];
      place(tiles.images[index], size, { dx, dy, mirror: random.below(2) === 1 }, row(r));
      labels[r] = tiles.labels[index];
    }
    yield { images, labels, real: batch };
  }
}

/** Every tile (or every `every`-th) once, as it is. */
export function* testFeed(tiles: Tiles, options: FeedOptions, every = 1): Iterable<Batch> {
  const { batch, size } = options;
  const chosen = tiles.images.map((_, index) => index).filter((index) => index % every === 0);
  const { images, labels, row } = buffers(batch, size);
  for (let start = 0; start < chosen.length; start += batch) {
    const real = Math.min(batch, chosen.length - start);
    for (let r = 0; r < batch; r++) {
      const index = chosen[start + Math.min(r, real - 1)];
      place(tiles.images[index], size, { dx: 0, dy: 0, mirror: false }, row(r));
      labels[r] = tiles.labels[index];
    }
    yield { images, labels, real };
  }
}

function buffers(batch: number, size: number) {
  const images = new Float32Array(batch * 3 * size * size);
  const row = (r: number) => images.subarray(r * 3 * size * size, (r + 1) * 3 * size * size);
  return { images, labels: new Int32Array(batch), row };
}

interface Move {
  readonly dx: number;
  readonly dy: number;
  readonly mirror: boolean;
}

/** [size, size, 3] levels → [3, size, size] in [-1, 1]; what the shift uncovers is 0, mid-grey. */
function place(tile: Uint8Array, size: number, { dx, dy, mirror }: Move, out: Float32Array): void {
  const plane = size * size;
  for (let y = 0; y < size; y++) {
    const fromY = y + dy;
    for (let x = 0; x < size; x++) {
      const fromX = (mirror ? size - 1 - x : x) + dx;
      const inside = fromY >= 0 && fromY < size && fromX >= 0 && fromX < size;
      const from = (fromY * size + fromX) * 3;
      const to = y * size + x;
      for (let c = 0; c < 3; c++) out[c * plane + to] = inside ? tile[from + c] / 127.5 - 1 : 0;
    }
  }
}
