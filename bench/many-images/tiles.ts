/** Image files cut from sheets of tiles, as many of each class. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

interface Sheets {
  /** Side of a tile in pixels. */
  readonly tile: number;
  readonly classes: readonly {
    readonly name: string;
    readonly train: { readonly file: string; readonly cols: number; readonly n: number };
  }[];
}

/** Writes `count` files below `to`, in a folder for each class. Throws Error for sheets of fewer tiles. */
export async function writeTiles(from: string, to: string, count: number): Promise<void> {
  const { tile, classes } = JSON.parse(readFileSync(join(from, 'index.json'), 'utf8')) as Sheets;
  const each = count / classes.length;
  for (const { name, train } of classes) {
    const { file, cols, n } = train;
    if (each > n) throw new Error(`${file}: expected ${String(each)} tiles, got ${String(n)}`);
    mkdirSync(join(to, name), { recursive: true });
    const { data, info } = await sharp(join(from, file), { limitInputPixels: false })
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const raw = { width: tile, height: tile, channels: 3 } as const;
    for (let index = 0; index < each; index++) {
      const [x, y] = [(index % cols) * tile, Math.floor(index / cols) * tile];
      const pixels = Buffer.alloc(3 * tile * tile);
      for (let row = 0; row < tile; row++) {
        const at = 3 * ((y + row) * info.width + x);
        data.copy(pixels, 3 * row * tile, at, at + 3 * tile);
      }
      const path = join(to, name, `${String(index).padStart(5, '0')}.jpg`);
      await sharp(pixels, { raw }).jpeg({ quality: 90 }).toFile(path);
    }
  }
}
