/**
 * thimble export as people use it: files that onnxruntime, transformers.js and Thimble itself load,
 * with the answers of the run. Needs the compiled command (npm run build).
 */
import { env, pipeline, type ImageClassificationPipeline } from '@huggingface/transformers';
import { readSafetensors, writeSafetensors, type TensorView } from '@thimble/core';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jsonLines, lastLine, thimble, writeClasses, type JsonLine } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-export-'));
const CLASSES = ['blue', 'green', 'red'];
const SIZE = 16;
const TRAIN = [
  ...['--model', 'vit-micro', '--image-size', String(SIZE), '--threads', '1', '--workers', '0'],
  ...['--batch', '8', '--lr', '0.01', '--augment', 'none', '--val', 'held', '--epochs', '2'],
  ...['--preprocess', 'preprocessor_config.json'],
];

/** Pictures are squashed to the model's size, so that one of that size is only normalised. */
const PREPROCESSOR = {
  image_processor_type: 'ViTImageProcessor',
  do_resize: true,
  size: { height: SIZE, width: SIZE },
  resample: 2,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.4, 0.5, 0.6],
  image_std: [0.2, 0.25, 0.3],
};

const run = (...args: string[]) => thimble(args, folder);
const exported = (...args: string[]) => run('export', ...args, '--threads', '1', '--json');
const path = (...parts: string[]) => join(folder, ...parts);
const read = (...parts: string[]): unknown => JSON.parse(readFileSync(path(...parts), 'utf8'));

async function files(...args: string[]): Promise<readonly JsonLine[]> {
  const ended = await exported(...args);
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  return jsonLines(ended).filter(({ event }) => event === 'file');
}

/** What is thrown away to standard output when an export fails. */
async function failure(...args: string[]): Promise<string> {
  const ended = await exported(...args);
  expect(ended.code).not.toBe(0);
  return String(lastLine(ended).message);
}

interface Score {
  readonly label: string;
  readonly score: number;
}

/** Classes of an image by falling probability, in transformers.js. */
async function inTransformers(name: string, image: string, dtype: 'fp32' | 'fp16' | 'q8') {
  env.allowRemoteModels = false;
  env.localModelPath = folder;
  const classify: ImageClassificationPipeline = await pipeline('image-classification', name, {
    dtype,
  });
  try {
    return (await classify(image, { top_k: CLASSES.length })) as readonly Score[];
  } finally {
    await classify.dispose();
  }
}

async function inThimble(from: string, image: string): Promise<readonly Score[]> {
  const ended = await run('predict', from, image, '--threads', '1', '--json');
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  const [line] = jsonLines(ended) as readonly (JsonLine & {
    classes: readonly { name: string; probability: number }[];
  })[];
  return line.classes.map(({ name, probability }) => ({ label: name, score: probability }));
}

beforeAll(async () => {
  await writeClasses(path('photos'), CLASSES, 12);
  await writeClasses(path('held'), CLASSES, 4);
  writeFileSync(path('preprocessor_config.json'), JSON.stringify(PREPROCESSOR));
  const background = '#7a5a30';
  const spot = { create: { width: 7, height: 9, channels: 3, background: '#3050a0' } } as const;
  for (const [name, width, height] of [
    ['small.png', SIZE, SIZE],
    ['large.png', 90, 70],
  ] as const) {
    await sharp({ create: { width, height, channels: 3, background } })
      .composite([{ input: spot, left: 3, top: 4 }])
      .toFile(path(name));
  }
  const base = await run('train', 'photos', ...TRAIN, '--out', 'base', '--json');
  expect(base.code, base.stdout + base.stderr).toBe(0);
  const factored = ['--init', 'base', '--method', 'wsi=0.7,layers=all', '--out', 'wsi', '--json'];
  const wsi = await run('train', 'photos', ...TRAIN, ...factored);
  expect(wsi.code, wsi.stdout + wsi.stderr).toBe(0);
  await files('base', '--format', 'onnx,onnx-fp16,onnx-int8,hf,safetensors', '--out', 'flags');
}, 120_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the folder', () => {
  it('is laid out as on the hub', () => {
    expect(readdirSync(path('flags'), { recursive: true }).sort()).toEqual([
      'config.json',
      'labels.txt',
      'model.safetensors',
      'onnx',
      join('onnx', 'model.onnx'),
      join('onnx', 'model_fp16.onnx'),
      join('onnx', 'model_quantized.onnx'),
      'preprocessor_config.json',
      'thimble.safetensors',
    ]);
    expect(read('flags', 'config.json')).toMatchObject({
      architectures: ['ViTForImageClassification'],
      model_type: 'vit',
      id2label: { '0': 'blue', '1': 'green', '2': 'red' },
      torch_dtype: 'float32',
    });
    expect(read('flags', 'preprocessor_config.json')).toMatchObject({
      size: { height: SIZE, width: SIZE },
      resample: 2,
      image_mean: PREPROCESSOR.image_mean,
      image_std: PREPROCESSOR.image_std,
    });
    expect(readFileSync(path('flags', 'labels.txt'), 'utf8')).toBe('blue\ngreen\nred\n');
  });

  it('is in the run unless said otherwise, and says what it did in a table', async () => {
    const ended = await run(
      'export',
      'base',
      '--format',
      'onnx-int8,safetensors',
      '--threads',
      '1',
    );
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout).toMatch(
      /^Exported 2 files to base\/export\n\nFormat +File +Size +of fp32 +max \|Δlogit\| +Same class +One image\nonnx-int8 +onnx\/model_quantized\.onnx +[\d.]+ MB +\d\d\.\d % +\d\.\de-\d +\d of 8 +[\d.]+ ms\nsafetensors +thimble\.safetensors +[\d.]+ MB +100\.\d % *\n\nTime for one image: median of rounds, 1 thread; Thimble, \w+ \w+: [\d.]+ ms\n$/,
    );
  });

  it('takes another format later and nothing else', async () => {
    const more = ['base', '--out', 'grown', '--no-check', '--format'];
    await files(...more, 'onnx');
    await files(...more, 'onnx-fp16');
    expect(existsSync(path('grown', 'onnx', 'model.onnx'))).toBe(true);
    expect(await failure(...more, 'onnx')).toBe(
      '--out grown: expected a folder without an earlier export of this format, or of another run, got one with onnx/model.onnx. Choose another folder, or --force to replace the files.',
    );
    writeFileSync(path('names.txt'), 'sea\nleaf\nrose\n');
    expect(await failure(...more, 'onnx-int8', '--labels', 'names.txt')).toContain(
      'got one with labels.txt',
    );
    await files(...more, 'onnx-int8', '--labels', 'names.txt', '--force');
    expect(read('grown', 'config.json')).toMatchObject({ id2label: { '2': 'rose' } });
  });
});

describe('ONNX', () => {
  it('is checked against the run', async () => {
    const lines = await files('base', '--format', 'onnx,onnx-fp16,onnx-int8', '--out', 'checked');
    const [full, half, integers] = lines as readonly (JsonLine & {
      maxDifference: number;
      maxLogit: number;
      latencyMs: number;
      bytes: number;
      ofFloat32: number;
    })[];
    expect(full.maxDifference).toBeLessThanOrEqual(1e-4);
    expect(half.maxDifference).toBeLessThanOrEqual(0.01 * half.maxLogit);
    expect(integers.maxDifference).toBeLessThanOrEqual(0.1 * integers.maxLogit);
    expect(half.bytes).toBeLessThan(0.55 * full.bytes);
    expect(integers.bytes).toBeLessThan(0.35 * full.bytes);
    expect(full.ofFloat32).toBeCloseTo(1, 1);
    for (const { latencyMs } of [full, half, integers]) expect(latencyMs).toBeGreaterThan(0);
  });

  it('keeps factors, or is dense when asked', async () => {
    const [factored] = await files('wsi', '--out', 'factored');
    const [dense] = await files('wsi', '--out', 'dense', '--dense');
    expect(factored.maxDifference).toBeLessThanOrEqual(1e-4);
    expect(dense.maxDifference).toBeLessThanOrEqual(1e-4);
    expect(factored.bytes).toBeLessThan(Number(dense.bytes));
    const texts = ['factored', 'dense'].map((name) =>
      readFileSync(path(name, 'onnx', 'model.onnx'), 'latin1'),
    );
    expect(texts.map((text) => text.includes('mlp.fc1.weight.left.T'))).toEqual([true, false]);
    expect(texts[0]).toContain('wsi=0.7,layers=all,truncation=data');
    expect(texts[0]).toContain('["blue","green","red"]');
  });

  it('is not checked without onnxruntime-node, and says so', async () => {
    const hooks = `export const resolve = (name, context, next) => {
      if (name !== 'onnxruntime-node') return next(name, context);
      throw Object.assign(new Error('absent'), { code: 'ERR_MODULE_NOT_FOUND' });
    };`;
    const data = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
    const register = `import { register } from 'node:module'; register(${JSON.stringify(data(hooks))});`;
    process.env.NODE_OPTIONS = `--import ${data(register)}`;
    try {
      const ended = await run('export', 'base', '--out', 'unchecked', '--threads', '1');
      expect(ended.code, ended.stderr).toBe(0);
      expect(ended.stdout).toContain(
        'Not checked: onnxruntime-node is not installed (npm i onnxruntime-node).\n',
      );
      expect(ended.stdout).not.toContain('Time for one image');
    } finally {
      delete process.env.NODE_OPTIONS;
    }
  });
});

describe('transformers.js', () => {
  it.each([
    ['fp32', 1e-5],
    ['fp16', 0.01],
    ['q8', 0.1],
  ] as const)('gives the answers of the run with %s', async (dtype, tolerance) => {
    const ours = await inThimble('base', 'small.png');
    const theirs = await inTransformers('flags', path('small.png'), dtype);
    expect(theirs.map(({ label }) => label)).toEqual(ours.map(({ label }) => label));
    theirs.forEach(({ score }, place) => {
      expect(Math.abs(score - ours[place].score)).toBeLessThanOrEqual(tolerance);
    });
  });

  it('agrees on a picture that has to be resized, in its own way', async () => {
    const [ours] = await inThimble('base', 'large.png');
    const [theirs] = await inTransformers('flags', path('large.png'), 'fp32');
    expect(theirs.label).toBe(ours.label);
  });

  it('runs a factored model', async () => {
    if (!existsSync(path('factored'))) await files('wsi', '--out', 'factored');
    const ours = await inThimble('wsi', 'small.png');
    const [theirs] = await inTransformers('factored', path('small.png'), 'fp32');
    expect(theirs.label).toBe(ours[0].label);
    expect(Math.abs(theirs.score - ours[0].score)).toBeLessThanOrEqual(1e-5);
  });
});

describe('safetensors', () => {
  const tensors = (...parts: string[]) => readSafetensors(readFileSync(path(...parts))).tensors;
  const same = (a: TensorView | undefined, b: TensorView) =>
    a !== undefined && Buffer.compare(a.bytes, b.bytes) === 0;

  it('are the weights of the run, and come back from both kinds of names', async () => {
    const weights = tensors('base', 'model.safetensors');
    await files('flags', '--format', 'safetensors', '--out', 'again');
    for (const name of ['flags', 'again']) {
      const found = tensors(name, 'thimble.safetensors');
      expect([...found.keys()].sort()).toEqual([...weights.keys()].sort());
      for (const [tensor, view] of weights)
        expect(same(found.get(tensor), view), tensor).toBe(true);
    }
    expect([...tensors('flags', 'model.safetensors').keys()]).toContain(
      'vit.encoder.layer.0.attention.attention.query.weight',
    );
    expect(await inThimble('flags', 'large.png')).toEqual(await inThimble('base', 'large.png'));
  });

  it('stay in factors, or are multiplied out', async () => {
    await files('wsi', '--format', 'safetensors', '--out', 'pairs');
    await files('wsi', '--format', 'hf', '--out', 'whole');
    expect(tensors('pairs', 'thimble.safetensors').has('blocks.0.mlp.fc1.weight.left')).toBe(true);
    expect(
      tensors('whole', 'model.safetensors').has('vit.encoder.layer.0.intermediate.dense.weight'),
    ).toBe(true);
    const ours = await inThimble('wsi', 'small.png');
    expect(await inThimble('pairs/thimble.safetensors', 'small.png')).toEqual(ours);
    const [whole] = await inThimble('whole', 'small.png');
    expect(whole.label).toBe(ours[0].label);
    expect(Math.abs(whole.score - ours[0].score)).toBeLessThanOrEqual(1e-5);
  });

  it('take half the bytes as f16 and bf16', async () => {
    const [single] = await files('base', '--format', 'hf', '--out', 'f32');
    for (const dtype of ['f16', 'bf16']) {
      const [half] = await files('base', '--format', 'hf', '--dtype', dtype, '--out', dtype);
      expect(half.bytes).toBeLessThan(0.55 * Number(single.bytes));
    }
    expect(read('bf16', 'config.json')).toMatchObject({ torch_dtype: 'bfloat16' });
    const view = tensors('f16', 'model.safetensors').get('classifier.weight');
    expect(view?.dtype).toBe('F16');
  });
});

describe('bad input', () => {
  it('names the nearest format', async () => {
    expect(await failure('base', '--format', 'onnx,onnx-int9')).toBe(
      'export format: expected one of onnx, onnx-fp16, onnx-int8, safetensors, hf, got "onnx-int9". The nearest is "onnx-int8".',
    );
    expect(await failure('base', '--format', 'hf', '--dtype', 'fp16')).toContain(
      'dtype: expected one of f32, f16, bf16, got "fp16"',
    );
    expect(await failure('base', '--dtype', 'f16')).toBe(
      '--dtype: expected a format with safetensors: safetensors or hf, got ONNX formats alone. Choose --format onnx-fp16 for half the bytes in ONNX.',
    );
  });

  it('refuses labels of another number', async () => {
    writeFileSync(path('two.txt'), 'sea\nleaf\n\n');
    expect(await failure('base', '--labels', 'two.txt', '--out', 'x')).toBe(
      "--labels two.txt: expected 3 lines, one for each class of the model, got 2. Pass the names in the order of the classes, or none for the model's own.",
    );
    expect(await failure('base', '--labels', 'none.txt', '--out', 'x')).toContain(
      '--labels none.txt: expected a text file with the name of a class in each line, got nothing at this path',
    );
    expect(existsSync(path('x'))).toBe(false);
  });

  it('needs a checkpoint, and a place for what is no run', async () => {
    mkdirSync(path('empty'));
    copyFileSync(path('base', 'run.json'), path('empty', 'run.json'));
    expect(await failure('empty')).toContain('expected a saved model, got nothing at this path');
    expect(await failure('flags/thimble.safetensors')).toBe(
      '--out: expected a folder for the files, since flags/thimble.safetensors is no run, got none. Pass --out FOLDER.',
    );
  });

  it('leaves what was there, and nothing half, when a file cannot be made', async () => {
    await files('base', '--format', 'onnx-fp16', '--out', 'kept');
    const before = readFileSync(path('kept', 'onnx', 'model_fp16.onnx'));
    const { tensors, metadata } = readSafetensors(readFileSync(path('base', 'model.safetensors')));
    const huge = [...tensors.values()].map((view) =>
      view.name === 'norm.bias'
        ? {
            name: view.name,
            dtype: view.dtype,
            shape: view.shape,
            data: view.toFloat32().fill(7e4),
          }
        : view,
    );
    writeFileSync(path('huge.safetensors'), writeSafetensors(huge, metadata));
    const args = ['huge.safetensors', '--format', 'onnx-fp16', '--out', 'kept', '--force'];
    expect(await failure(...args)).toBe(
      'tensor norm.bias: expected values below 65520, which float16 can hold, got 70000 at element 0. Export as onnx, in float32.',
    );
    expect(
      await failure('huge.safetensors', '--format', 'onnx,onnx-fp16', '--out', 'never'),
    ).toContain('tensor norm.bias');
    expect(existsSync(path('never'))).toBe(false);
    expect(readdirSync(path('kept', 'onnx'))).toEqual(['model_fp16.onnx']);
    expect(readFileSync(path('kept', 'onnx', 'model_fp16.onnx')).equals(before)).toBe(true);
  });

  it('says which models transformers does not have', async () => {
    const { tensors, metadata } = readSafetensors(readFileSync(path('base', 'model.safetensors')));
    const config = JSON.parse(metadata.get('thimble.config') ?? '') as object;
    const renamed = [...tensors.values()].map((view) => {
      const { dtype, shape, bytes } = view;
      return { name: view.name.replace(/^norm\./, 'fc_norm.'), dtype, shape, bytes };
    });
    const mean = new Map([
      ...metadata,
      ['thimble.config', JSON.stringify({ ...config, pooling: 'mean' })] as const,
    ]);
    writeFileSync(path('mean.safetensors'), writeSafetensors(renamed, mean));
    expect(await failure('mean.safetensors', '--format', 'hf', '--out', 'mean')).toContain(
      'names of hugging-face: expected a model that the library has',
    );
    await files('mean.safetensors', '--out', 'mean');
    const [ours] = await inThimble('mean.safetensors', 'small.png');
    const [theirs] = await inTransformers('mean', path('small.png'), 'fp32');
    expect(theirs.label).toBe(ours.label);
    expect(Math.abs(theirs.score - ours.score)).toBeLessThanOrEqual(1e-5);
  });
});
