/**
 * A picture of a few predictions: a grid of enlarged images, framed green where the model is
 * right and red where it is not, with the prediction and, where it differs, the truth underneath.
 *
 * Text is drawn with the DejaVu font that comes as a package: machines without fonts draw it as
 * well.
 */
import { cropped, type RawImage } from '@thimble/core';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import sharp, { type OverlayOptions } from 'sharp';
import { escapeText } from './svg.js';

export interface PicturedPrediction {
  readonly image: RawImage;
  readonly truth: string;
  readonly predicted: string;
  readonly probability: number;
}

/** Sides in pixels. */
const IMAGE = 128;
const FRAME = 5;
const GAP = 18;
const CAPTION = 44;
const TITLE = 54;
const CELL_WIDTH = IMAGE + 2 * FRAME;
const CELL_HEIGHT = IMAGE + 2 * FRAME + CAPTION;

const INK = '#24292f';
const RIGHT = '#2e7d32';
const WRONG = '#c62828';
const FONT = 'DejaVu Sans';

/** PNG bytes of the grid, `columns` images wide. */
export async function predictionsPicture(
  predictions: readonly PicturedPrediction[],
  columns: number,
  title: string,
): Promise<Buffer> {
  useOwnFonts();
  const rows = Math.ceil(predictions.length / columns);
  const width = GAP + columns * (CELL_WIDTH + GAP);
  const height = TITLE + rows * (CELL_HEIGHT + GAP);
  const layers: OverlayOptions[] = [
    { input: await textImage(title, INK, 16, true), left: GAP, top: GAP },
  ];
  for (const [index, prediction] of predictions.entries()) {
    const left = GAP + (index % columns) * (CELL_WIDTH + GAP);
    const top = TITLE + Math.floor(index / columns) * (CELL_HEIGHT + GAP);
    layers.push(...(await cell(prediction, left, top)));
  }
  return sharp({ create: { width, height, channels: 3, background: '#ffffff' } })
    .composite(layers)
    .png()
    .toBuffer();
}

async function cell(
  prediction: PicturedPrediction,
  left: number,
  top: number,
): Promise<readonly OverlayOptions[]> {
  const { truth, predicted, probability } = prediction;
  const right = truth === predicted;
  const colour = right ? RIGHT : WRONG;
  const frame = await sharp({
    create: { width: CELL_WIDTH, height: CELL_WIDTH, channels: 3, background: colour },
  })
    .png()
    .toBuffer();
  const below = top + CELL_WIDTH + 4;
  const caption = `${predicted} ${(100 * probability).toFixed(0)} %`;
  const layers: OverlayOptions[] = [
    { input: frame, left, top },
    { input: await enlarged(prediction.image), left: left + FRAME, top: top + FRAME },
    { input: await textImage(caption, colour, 12, true), left, top: below },
  ];
  if (!right) {
    layers.push({ input: await textImage(`is ${truth}`, INK, 11, false), left, top: below + 20 });
  }
  return layers;
}

/** The middle square of an image at IMAGE × IMAGE; small images keep their pixels visible. */
async function enlarged(image: RawImage): Promise<Buffer> {
  const side = Math.min(image.width, image.height);
  const x = (image.width - side) >> 1;
  const y = (image.height - side) >> 1;
  const square = cropped(image, { x, y, width: side, height: side });
  const raw = { width: side, height: side, channels: 3 } as const;
  return sharp(Buffer.from(square.data), { raw })
    .resize(IMAGE, IMAGE, { kernel: side < IMAGE ? 'nearest' : 'lanczos3' })
    .png()
    .toBuffer();
}

/** @param size in points at 96 dots per inch */
function textImage(text: string, colour: string, size: number, bold: boolean): Promise<Buffer> {
  const file = `dejavu-fonts-ttf/ttf/DejaVuSans${bold ? '-Bold' : ''}.ttf`;
  const weight = bold ? ' weight="bold"' : '';
  return sharp({
    text: {
      text: `<span foreground="${colour}"${weight}>${escapeText(text)}</span>`,
      font: `${FONT}${bold ? ' Bold' : ''} ${String(size)}`,
      fontfile: createRequire(import.meta.url).resolve(file),
      rgba: true,
      dpi: 72,
    },
  })
    .png()
    .toBuffer();
}

/**
 * Where the system has no fontconfig, its library complains on stderr unless it is given a file.
 */
function useOwnFonts(): void {
  if (process.env['FONTCONFIG_FILE'] !== undefined || existsSync('/etc/fonts/fonts.conf')) return;
  process.env['FONTCONFIG_FILE'] = fileURLToPath(
    new URL('../../assets/fonts.conf', import.meta.url),
  );
}
