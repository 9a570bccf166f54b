/** thimble info on files, folders and runs. Needs the compiled command (npm run build). */
import { writeSafetensors, type TensorSource } from '@thimble/core';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caseOf, type Case } from '../../core/test/checkpoint-cases.js';
import { convertLine, isPickleFile } from '../src/weights/pickle.js';
import { lastLine, thimble, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-info-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const PREPROCESSOR = {
  image_processor_type: 'DeiTImageProcessor',
  size: { height: 18, width: 18 },
  crop_size: { height: 16, width: 16 },
  image_mean: [0.1, 0.2, 0.3],
};

function tensorsOf({ source }: Case): readonly TensorSource[] {
  return [...source.shapes].map(([name, shape]) => ({
    ...{ name, shape, dtype: 'F16' },
    data: source.read(name),
  }));
}

/** A folder in hub layout. */
function writeModel(name: string, shards: number): void {
  const given = caseOf('hugging-face', 'vit');
  const path = join(folder, name);
  mkdirSync(path);
  writeFileSync(join(path, 'config.json'), JSON.stringify(given.sidecars.config));
  writeFileSync(join(path, 'preprocessor_config.json'), JSON.stringify(PREPROCESSOR));
  const tensors = tensorsOf(given);
  if (shards === 1) {
    writeFileSync(join(path, 'model.safetensors'), writeSafetensors(tensors));
    return;
  }
  const weights: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const file = `model-0000${String(shard + 1)}-of-0000${String(shards)}.safetensors`;
    const own = tensors.filter((_, index) => index % shards === shard);
    for (const { name: tensor } of own) weights[tensor] = file;
    writeFileSync(join(path, file), writeSafetensors(own));
  }
  const index = JSON.stringify({ metadata: {}, weight_map: weights });
  writeFileSync(join(path, 'model.safetensors.index.json'), index);
}

const info = (...args: readonly string[]) => thimble(['info', ...args], folder);

describe('thimble info', () => {
  beforeAll(() => {
    writeModel('vit', 1);
    writeModel('sharded', 3);
  });

  it('says what a model in a folder is', async () => {
    const { code, stdout } = await info('vit');
    expect(code).toBe(0);
    const [title, ...lines] = stdout.split('\n');
    expect(title).toBe('vit/model.safetensors');
    expect(lines.slice(0, 10).join('\n')).toMatchInlineSnapshot(`
      "  Model       ViT-16x2/4, 16 px, 5 classes, Hugging Face names
        Parameters  5.11 k (5,109)
        Image size  16 px
        Classes     5: kind 0, kind 1, kind 2, kind 3, kind 4
        Pictures    both edges to 18 px, the 16 px in the middle, bicubic, mean 0.1 0.2 0.3, std 0.5 0.5 0.5
        Tensors     40 tensors, 5.11 k elements
        Bytes       10.2 kB: F16 10.2 kB
        Numbers     all finite
        Metadata    none
        SHA-256     ${createHash('sha256')
          .update(readFileSync(join(folder, 'vit/model.safetensors')))
          .digest('hex')}"
    `);
    expect(stdout).toContain('Tensor ');
    expect(stdout).toContain('and 20 more (--all shows them)');
    expect((await info('vit', '--all')).stdout).not.toContain('more (--all');
  });

  it('reads shards as one, each with its hash', async () => {
    const whole = lastLine(await info('vit', '--json'));
    const sharded = lastLine(await info('sharded', '--json'));
    expect(sharded.event).toBe('info');
    expect(sharded.model).toEqual(whole.model);
    expect(sharded.files).toHaveLength(3);
    expect(sharded.tensors).toEqual(whole.tensors);
    expect(whole.model).toMatchObject({
      naming: 'hugging-face',
      preset: null,
      isPreprocessSaid: true,
      config: { heads: 4, layerNormEps: 1e-12 },
      preprocess: { size: 16, edge: 18 },
    });
  });

  it('lists a file of which it does not know the architecture', async () => {
    const conv = new Float32Array(54).fill(-Infinity, 17);
    const tensors: readonly TensorSource[] = [
      { name: 'conv.weight', shape: [2, 3, 3, 3], dtype: 'F32', data: conv },
      { name: 'steps', shape: [], dtype: 'I32', data: Int32Array.of(7) },
    ];
    writeFileSync(join(folder, 'cnn.safetensors'), writeSafetensors(tensors));
    const { code, stdout } = await info('cnn.safetensors');
    expect(code).toBe(0);
    expect(stdout).toContain(
      'Model     unknown; expected a ViT, DeiT, Swin transformer, MobileNet, EfficientNet or ResNet',
    );
    expect(stdout).toContain('Bytes     220 B: F32 216 B, I32 4 B');
    expect(stdout).toContain('Numbers   NOT all finite: -Infinity at element 17 of conv.weight');
    expect(stdout).toMatch(/conv\.weight +\[2, 3, 3, 3\] +F32/);
    const json = lastLine(await info('cnn.safetensors', '--json'));
    expect(json.notFinite).toEqual([{ tensor: 'conv.weight', element: 17, value: '-Infinity' }]);
    expect(json).toMatchObject({ model: null, elements: 55, bytes: { F32: 216, I32: 4 } });
  });

  it('lists any number of tensors, in the order of their numbers', async () => {
    const count = 150_000;
    const entries = Array.from({ length: count }, (_, index) => {
      return `"layer.${String(index)}.w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`;
    });
    const header = Buffer.from(`{${entries.reverse().join()}}`);
    const length = Buffer.alloc(8);
    length.writeUInt32LE(header.length);
    writeFileSync(join(folder, 'many.safetensors'), Buffer.concat([length, header]));
    const { code, stdout } = await info('many.safetensors', '--all');
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.at(-count)).toMatch(/^layer\.0\.w +\[0\] +U8$/);
    expect(lines.at(-1)).toMatch(/^layer\.149999\.w +\[0\] +U8$/);
  });

  it('shows a factored run: method, accuracy, ranks', async () => {
    await writeClasses(join(folder, 'photos'), ['blue', 'red'], 10);
    const model = ['--model', 'vit-micro', '--method', 'wsi=0.5', '--init', 'random'];
    const options = ['--epochs', '1', '--batch', '4', '--augment', 'none', '--out', 'run'];
    const where = ['--threads', '1', '--workers', '0', '--json'];
    const trained = await thimble(['train', 'photos', ...model, ...options, ...where], folder);
    expect(trained.stderr + trained.stdout).toContain('"event":"done"');
    const { stdout } = await info('run');
    expect(stdout).toContain('  Run         vit-micro, method wsi=0.5');
    expect(stdout).toMatch(/Accuracy +[\d.]+ % after 1 epoch, best/);
    expect(stdout).toMatch(/Data +photos, \d+ for training, \d+ held out/);
    expect(stdout).toMatch(/Files +SHA256SUMS .*best\.safetensors .*run\.json/);
    expect(stdout).toContain(
      'Model       ViT-128x6/4, 32 px, 2 classes, saved by Thimble; preset vit-micro',
    );
    expect(stdout).toMatch(/blocks\.0\.mlp\.fc1\.weight +512 +128 +\d+ +[\d.]+ % +in its place/);
    const json = lastLine(await info('run', '--json', '--best'));
    expect(json).toMatchObject({
      path: join('run', 'best.safetensors'),
      model: { config: { heads: 4 }, labels: ['blue', 'red'], preset: 'vit-micro' },
      run: { record: { method: 'wsi=0.5,layers=all,truncation=data' } },
    });
    expect(json.factors).toHaveLength(24);
  });

  it('never reads a pickle, and says how to convert it', async () => {
    writeFileSync(join(folder, 'model.bin'), 'anything');
    writeFileSync(join(folder, 'zip.safetensors'), Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0));
    writeFileSync(join(folder, 'bare.safetensors'), Uint8Array.of(0x80, 2, 0x7d, 0x71, 0, 0x2e));
    for (const file of ['model.bin', 'zip.safetensors', 'bare.safetensors']) {
      const { code, stderr } = await info(file);
      expect(code).toBe(1);
      expect(stderr).toContain(
        `${file}: expected weights in safetensors, got a PyTorch pickle, which could run any ` +
          'program when it is read. Convert it where you trust it:\n  python -c "import torch',
      );
    }
  });

  it('refuses what is no file of weights', async () => {
    writeFileSync(join(folder, 'text.safetensors'), 'hello');
    expect((await info('text.safetensors')).code).toBe(1);
    const { code, stderr } = await info('nothing.safetensors');
    expect(code).toBe(1);
    expect(stderr).toContain(
      'nothing.safetensors: expected a file, a folder, or a model on the hub',
    );
  });
});

describe('a pickle', () => {
  it('is known by its content, whatever its name', () => {
    const path = join(folder, 'odd.bin');
    // 640 bytes of header: the length begins like a pickle of protocol 2.
    const header = `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`.padEnd(640);
    const bytes = Buffer.concat([
      Buffer.from([0x80, 2, 0, 0, 0, 0, 0, 0]),
      Buffer.from(`${header}x`),
    ]);
    writeFileSync(path, bytes);
    expect(isPickleFile(path)).toBe(false);
    expect(isPickleFile(join(folder, 'absent.bin'))).toBe(false);
  });

  it('is converted by a line that a shell reads', () => {
    expect(convertLine('a/pytorch_model.bin')).toBe(
      'python -c "import torch, sys, safetensors.torch as s; ' +
        "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); " +
        "d = d.get('state_dict', d.get('model', d)); " +
        's.save_file({k: v.contiguous().clone() for k, v in d.items() if torch.is_tensor(v)}, ' +
        'sys.argv[2])" a/pytorch_model.bin a/pytorch_model.safetensors',
    );
    expect(convertLine("it's here.pt")).toContain(
      `sys.argv[2])" 'it'\\''s here.pt' 'it'\\''s here.safetensors'`,
    );
  });
});
