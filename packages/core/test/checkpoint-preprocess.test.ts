/**
 * Preprocessing that files beside a checkpoint ask for: pixel values of transformers and timm
 * (reference/preprocess_fixture.py), defaults, round trips, and what is refused.
 */
import { describe, expect, it } from 'vitest';
import {
  familyPreprocess,
  parsePreprocess,
  preprocessorConfig,
  recognise,
} from '../src/checkpoints/index.js';
import { rawImage } from '../src/data/image.js';
import {
  centredDown,
  cutOf,
  defaultPreprocess,
  imagenetMean,
  preprocessInto,
  withSize,
  type Cut,
  type Preprocess,
} from '../src/data/preprocess.js';
import { MODELS } from '../src/models/index.js';
import { caseOf } from './checkpoint-cases.js';
import { fixture } from './golden.js';

const FILE = fixture('../../../reference/fixtures/preprocess.safetensors');
if (!FILE) throw new Error('reference/fixtures/preprocess.safetensors is missing');
const CASES = [...FILE.metadata].map(([name, json]) => {
  const sidecars = JSON.parse(json) as { preprocessor: unknown; config: unknown };
  return { name, preprocess: parsePreprocess(sidecars) };
});
const PICTURES = [0, 1, 2];

/** In levels of 255. Pillow's own; what is left is the rounding of float32, 3e-5. */
const PILLOW = 1e-4;
/** torchvision rounds its weights otherwise: a level either way, and no more. */
const TORCHVISION = 1 + 1e-4;

function pixels(preprocess: Preprocess, picture: number): Float32Array {
  const view = FILE?.tensors.get(`pictures/${String(picture)}`);
  if (!view) throw new Error(`no picture ${String(picture)}`);
  const [height, width] = view.shape;
  const image = rawImage(width, height, Uint8Array.from(view.toInt32()));
  const out = new Float32Array(3 * preprocess.size ** 2);
  preprocessInto(image, preprocess, out);
  return out;
}

/** Largest difference, in units of a level's height 1/(255 std). */
function difference(name: string, preprocess: Preprocess, backend: string): number {
  const worst = PICTURES.map((picture) => {
    const want = FILE?.tensors.get(`${name}/${backend}/${String(picture)}`)?.toFloat64();
    if (!want) throw new Error(`no ${name}/${backend}/${String(picture)}`);
    const got = pixels(preprocess, picture);
    expect(got.length).toBe(want.length);
    const pixelsPerChannel = want.length / 3;
    return want.reduce((most, value, i) => {
      const { std } = preprocess;
      const levels = Math.abs(got[i] - value) * 255 * std[Math.floor(i / pixelsPerChannel)];
      return levels <= most ? most : levels; // NaN stays
    }, 0);
  });
  return Math.max(...worst);
}

describe('pixel values', () => {
  it.each(CASES)('$name: those of Pillow', ({ name, preprocess }) => {
    if (!preprocess) throw new Error('nothing parsed');
    expect(difference(name, preprocess, 'pillow')).toBeLessThan(PILLOW);
  });

  const both = CASES.filter(({ name }) => FILE.tensors.has(`${name}/torchvision/0`));
  it.each(both)('$name: within a level of those of torchvision', ({ name, preprocess }) => {
    if (!preprocess) throw new Error('nothing parsed');
    expect(difference(name, preprocess, 'torchvision')).toBeLessThan(TORCHVISION);
  });

  it.each(CASES)('$name: the same after a way out and in again', ({ preprocess }) => {
    if (!preprocess) throw new Error('nothing parsed');
    const config = { ...MODELS['vit-tiny-16'], imageSize: 16 };
    const preprocessor: unknown = JSON.parse(
      JSON.stringify(preprocessorConfig(config, preprocess)),
    );
    const back = parsePreprocess({ config: null, preprocessor });
    if (!back) throw new Error('nothing parsed');
    for (const picture of PICTURES) {
      // A crop that timm centres to the even side is a pixel off; transformers knows "down" only.
      const down = { ...preprocess, offset: 'down' } as const;
      expect(pixels(back, picture)).toEqual(pixels(down, picture));
    }
  });
});

describe('the cut that an export says', () => {
  /** Of transformers, as its two backends compute them: int(edge · long / short), (h − c) // 2. */
  function theirs(file: unknown, width: number, height: number): Cut {
    const { size, crop_size: crop } = file as {
      readonly size: { readonly shortest_edge?: number; readonly height?: number };
      readonly crop_size?: { readonly height: number };
    };
    const { shortest_edge: edge, height: side = NaN } = size;
    const short = Math.min(width, height);
    const long = Math.trunc(((edge ?? 0) * Math.max(width, height)) / short);
    const [w, h] =
      edge === undefined ? [side, side] : width <= height ? [edge, long] : [long, edge];
    const at = (extent: number) => Math.floor((extent - (crop?.height ?? extent)) / 2);
    return { width: w, height: h, x: at(w), y: at(h) };
  }

  /** Wide, tall, square, small, large; of every remainder by 4. */
  const SIZES = [
    ...[0, 1, 2, 3].flatMap((odd) => [
      [301 + odd, 203] as const,
      [207, 500 + odd] as const,
      [4000, 3000 + odd] as const,
    ]),
    ...([
      [64, 64],
      [31, 17],
      [9, 100],
      [1920, 1080],
      [1, 1],
      [1, 5000],
    ] as const),
  ];
  const PERCENTAGES = Array.from({ length: 41 }, (_, step) => (160 + step) / 200);
  const config = MODELS['vit-tiny-16'];

  it.each(['shortest-edge', 'squash'] as const)('is that of a run that trains now: %s', (way) => {
    let compared = 0;
    for (let size = 32; size <= 384; size += 4) {
      for (const cropPercentage of PERCENTAGES) {
        const squashed = way === 'squash' && { edge: Math.floor(size / cropPercentage) };
        const asked = { ...defaultPreprocess, size, cropPercentage, resize: way, ...squashed };
        const run = centredDown(asked);
        const file: unknown = preprocessorConfig({ ...config, imageSize: size }, run);
        const back = parsed(JSON.parse(JSON.stringify(file)) as object);
        if (!back) throw new Error('nothing parsed');
        for (const [width, height] of SIZES) {
          const cut = cutOf({ width, height }, run);
          const same = [theirs(file, width, height), cutOf({ width, height }, back)];
          for (const other of same) {
            if (JSON.stringify(other) !== JSON.stringify(cut)) expect(other).toEqual(cut);
          }
          compared++;
        }
      }
    }
    expect(compared).toBe(89 * 41 * 18);
  });

  it('is a pixel off for a run that rounded to the even side, where half a pixel is odd', () => {
    const run = { ...defaultPreprocess, size: 64 }; // 71 px before the crop: 3.5 of them at each side
    const file = preprocessorConfig({ ...config, imageSize: 64 }, run);
    const [width, height] = [100, 100];
    expect(cutOf({ width, height }, run)).toMatchObject({ x: 4, y: 4 });
    expect(theirs(file, width, height)).toMatchObject({ x: 3, y: 3 });
  });
});

/** What a preprocessor_config.json says. */
function parsed(preprocessor: object): Preprocess | null {
  return parsePreprocess({ config: null, preprocessor });
}

describe('parsePreprocess', () => {
  const bit = {
    image_processor_type: 'BitImageProcessor',
    size: { shortest_edge: 256 },
    crop_size: { height: 224, width: 224 },
    resample: 3,
  };

  it('says nothing where the files do not', () => {
    expect(parsePreprocess({ config: null, preprocessor: null })).toBeNull();
    expect(parsePreprocess({ config: { model_type: 'vit' }, preprocessor: null })).toBeNull();
  });

  it('keeps the part of the picture at another image size', () => {
    expect(parsed(bit)).toMatchObject({ size: 224, edge: 256, offset: 'down' });
    const sidecars = { config: null, preprocessor: bit };
    expect(parsePreprocess(sidecars, 112)).toMatchObject({ size: 112, edge: 128 });
    expect(withSize({ ...defaultPreprocess, size: 224 }, 96)).toEqual({
      ...defaultPreprocess,
      size: 96,
    });
  });

  it('reads an image processor before the recipe of timm', () => {
    const config = { pretrained_cfg: { input_size: [3, 96, 96], crop_pct: 0.5 } };
    expect(parsePreprocess({ config, preprocessor: null })).toMatchObject({
      size: 96,
      cropPercentage: 0.5,
      resize: 'shortest-edge',
      mean: imagenetMean,
    });
    expect(parsePreprocess({ config, preprocessor: bit })).toMatchObject({ size: 224 });
  });

  it('takes the processor of the model where the file names none', () => {
    const preprocessor = { size: 256, crop_size: 224 };
    const of = (type: string) => parsePreprocess({ config: { model_type: type }, preprocessor });
    expect(of('deit')).toMatchObject({ size: 224, edge: 256, resize: 'squash', filter: 'bicubic' });
    expect(of('vit')).toMatchObject({ size: 256, resize: 'squash', filter: 'bilinear' });
    const type = 'TimmWrapperImageProcessor';
    const wrapped = { image_processor_type: type, pretrained_cfg: { crop_pct: 0.95 } };
    expect(parsed(wrapped)).toMatchObject({
      cropPercentage: 0.95,
      mean: imagenetMean,
    });
  });

  it('takes null for what is not set, as transformers writes it', () => {
    const nulls = { do_center_crop: null, crop_size: null, do_pad: null, do_rescale: null };
    const saved = { image_processor_type: 'ViTImageProcessorFast', size: 32, ...nulls };
    expect(parsed(saved)).toEqual(parsed({ size: 32 }));
  });

  it('takes pictures that are not to be resized for such that have the size', () => {
    expect(parsed({ size: 32, do_resize: false })).toMatchObject({ size: 32, resize: 'squash' });
  });

  it.each([
    [{ ...bit, do_center_crop: false }, 'size: expected a square, or a crop after resizing'],
    [{ ...bit, crop_size: 300 }, 'crop_size: expected at most the size 256, got 300'],
    [{ ...bit, do_resize: false }, 'do_resize: expected true before a crop, got false'],
    [{ size: { height: 224, width: 196 } }, 'size: expected a square, got [224,196]'],
    [
      { size: { longest_edge: 224 } },
      'size.height: expected a whole number from 1 to 1000000, got nothing',
    ],
    [{ size: 0 }, 'size: expected a whole number from 1 to 1000000, got 0'],
    [{ size: 1e12 }, 'size: expected a whole number from 1 to 1000000, got 1000000000000'],
    [{ resample: 6 }, 'resample: expected a whole number from 0 to 5, got 6'],
    [{ do_pad: true }, 'do_pad: expected false, got true'],
    [{ do_normalize: 'yes' }, 'do_normalize: expected true or false, got "yes"'],
    [{ image_mean: [0.5, 0.5] }, 'image_mean: expected a list of 3 values, got 2'],
    [{ image_mean: null }, 'image_mean: expected a finite number, got null'],
    [{ image_std: [1e-320, 1, 1] }, 'std[0]: expected a finite number from 0.000001'],
    [{ image_mean: [1e308, 0, 0] }, 'mean[0]: expected a finite number from -1000 up to 1000'],
    [{ rescale_factor: 1e-300 }, 'mean[0]: expected a finite number from -1000 up to 1000'],
    [{ size: 20_000 }, 'size: expected a whole number from 1 to 8192, got 20000'],
    [
      { ...bit, size: { shortest_edge: 1e6 } },
      'cropPercentage: expected a finite number from 0.01',
    ],
    [{ image_processor_type: 7 }, 'image_processor_type: expected a text, got 7'],
    [{ image_processor_type: 'SamImageProcessor' }, 'got SamImageProcessor'],
  ])('refuses %o', (file, message) => {
    expect(() => parsed(file)).toThrow(message);
    expect(() => parsed(file)).toThrow(/^preprocessor_config.json/);
  });

  it('refuses a standard deviation of zero', () => {
    expect(() => parsed({ image_std: [1, 0, 1] })).toThrow(
      'preprocessor_config.json, std[1]: expected a finite number from 0.000001 up to 1000000, got 0',
    );
  });

  it.each([
    [{ crop_mode: 'border' }, 'crop_mode: expected center or squash, got border'],
    [{ interpolation: 'random' }, 'interpolation: expected'],
    [{ crop_pct: 1.5 }, 'crop_pct: expected a finite number above 0 up to 1, got 1.5'],
    [{ crop_pct: '0.9' }, 'crop_pct: expected a finite number above 0 up to 1, got "0.9"'],
    [{ input_size: [3, 224, 160] }, 'input_size: expected a square, got [3,224,160]'],
  ])('refuses %o in the recipe of timm', (cfg, message) => {
    const config = { pretrained_cfg: { mean: [0.5, 0.5, 0.5], ...cfg } };
    expect(() => parsePreprocess({ config, preprocessor: null })).toThrow(message);
  });
});

describe('familyPreprocess', () => {
  it('is what the family was trained with', () => {
    const vit = MODELS['vit-tiny-16'];
    const swin = MODELS['swin-tiny'];
    expect(familyPreprocess('timm', vit)).toEqual(defaultPreprocess);
    expect(familyPreprocess('timm', swin)).toMatchObject({ mean: imagenetMean });
    expect(familyPreprocess('timm', { ...vit, distilled: true }).mean).toEqual(imagenetMean);
    expect(familyPreprocess('hugging-face', vit)).toMatchObject({
      resize: 'squash',
      filter: 'bilinear',
      mean: [0.5, 0.5, 0.5],
    });
    expect(familyPreprocess('torchvision', vit)).toMatchObject({ edge: 256, filter: 'bilinear' });
    expect(familyPreprocess('torchvision', swin)).toMatchObject({ edge: 232, filter: 'bicubic' });
  });
});

describe('what a checkpoint says of itself', () => {
  const { source, sidecars } = caseOf('timm', 'vit');
  const { config } = recognise(source, new Map(), sidecars);
  const own = (preprocess: string) =>
    new Map([
      ['thimble.config', JSON.stringify(config)],
      ['preprocess', preprocess],
    ]);
  const stored: Preprocess = { ...defaultPreprocess, size: 16, edge: 20, offset: 'down' };

  it('goes before the files beside it', () => {
    const metadata = own(JSON.stringify(stored));
    expect(recognise(source, metadata, sidecars).preprocess).toEqual(stored);
    expect(recognise(source, new Map(), sidecars).preprocess).toMatchObject({
      size: 16,
      mean: [0.5, 0.4, 0.3],
    });
  });

  it('counts in plain words too, where nothing else says anything', () => {
    const words = new Map([
      ['mean', '0.485,0.456,0.406'],
      ['std', '0.229,0.224,0.225'],
      ['crop_pct', '0.8'],
      ['heads', '2'],
    ]);
    const found = recognise(source, words, { config: null, preprocessor: null });
    expect(found.config).toMatchObject({ heads: 2 });
    expect(found.preprocess).toMatchObject({ size: 16, mean: imagenetMean, cropPercentage: 0.8 });
    const odd = new Map([...words, ['mean', 'grey'] as const]);
    expect(recognise(source, odd, { config: null, preprocessor: null }).preprocess).toBeNull();
    expect(recognise(source, words, sidecars).preprocess).toMatchObject({ mean: [0.5, 0.4, 0.3] });
  });

  it.each([
    ['{"size": 16', 'metadata preprocess: expected JSON'],
    [JSON.stringify({ ...stored, filter: 'fine' }), 'metadata preprocess, filter: expected'],
    [JSON.stringify({ ...stored, size: -1 }), 'metadata preprocess, size: expected'],
    [
      JSON.stringify({ ...stored, edge: 8 }),
      'preprocess, edge: expected a whole number from 16 to 1600, got 8',
    ],
  ])('is checked: %s', (text, message) => {
    const metadata = own(text);
    expect(() => recognise(source, metadata, sidecars)).toThrow(message);
  });
});
