/**
 * Starting from weights on this disk through the command: files, folders, shards, runs; what becomes
 * of head and preprocessing; what is said of bad files. Needs the compiled command (npm run build).
 */
import { readSafetensors, writeSafetensors } from '@thimble/core';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../src/run/record.js';
import { lastLine, jsonLines, thimble, writeClasses, type Ended } from './cli-command.js';
import { sha256 } from './hub-server.js';
import { hubFiles, PICTURES, shardedFiles, without, writeFiles } from './tiny-models.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-weights-'));
const COLOURS = ['blue', 'green', 'red'];
const LABELS = ['Red, crimson', 'blue', 'yellow', 'green'];
const path = (...parts: string[]) => join(folder, ...parts);
const run = (...args: string[]) => thimble(args, folder);
const STEP = ['--batch', '8', '--lr', '0.001', '--augment', 'none', '--epochs', '1'];
const WHERE = ['--val', 'held', '--threads', '1', '--workers', '0', '--json'];
const train = (...args: string[]) => run('train', 'photos', ...STEP, ...WHERE, ...args);
const record = (name: string) =>
  JSON.parse(readFileSync(path(name, 'run.json'), 'utf8')) as RunRecord;
const named = (ended: Ended, name: string) => jsonLines(ended).find(({ event }) => event === name);
const message = (ended: Ended) => String(lastLine(ended)['message']);

const IMAGES = ['held/red/0.png', 'held/blue/1.png', 'held/green/2.png'];
const predictions = async (from: string, ...args: string[]) => {
  const ended = await run('predict', from, ...IMAGES, '--threads', '1', '--json', ...args);
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  return jsonLines(ended).slice(0, -1);
};

beforeAll(async () => {
  await writeClasses(path('photos'), COLOURS, 8);
  await writeClasses(path('held'), COLOURS, 3);
  writeFiles(path('four'), hubFiles(LABELS));
  writeFiles(path('same'), hubFiles(COLOURS));
  writeFiles(path('shards'), shardedFiles(LABELS));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('weights as they are', () => {
  it('classify under their own labels, the same from folder, file, shards and index', async () => {
    const all = await predictions('four');
    const [first] = all.map(({ classes }) => classes as { name: string }[]);
    expect(first).toHaveLength(3);
    expect(LABELS).toContain(first[0].name);
    for (const other of [
      'four/model.safetensors',
      'shards',
      'shards/model.safetensors.index.json',
    ]) {
      expect(await predictions(other)).toEqual(all);
    }
  });

  it('are measured on folders named by a label or its first synonym', async () => {
    const ended = await run('eval', 'four', 'held', '--threads', '1', '--json');
    expect(ended.code, ended.stdout).toBe(0);
    const counts = (lastLine(ended)['perClass'] as { name: string; images: number }[]).map(
      ({ name, images }) => [name, images],
    );
    expect(counts).toEqual([
      ['Red, crimson', 3],
      ['blue', 3],
      ['yellow', 0],
      ['green', 3],
    ]);
  });

  it('are read with the preprocessing beside them, or another that is asked for', async () => {
    const said = await predictions('four');
    writeFileSync(path('pictures.json'), hubFiles(LABELS)['preprocessor_config.json']);
    expect(await predictions('four', '--preprocess', 'pictures.json')).toEqual(said);
    expect(await predictions('four', '--preprocess', 'imagenet')).not.toEqual(said);
    writeFiles(path('silent'), without(hubFiles(LABELS), 'preprocessor_config.json'));
    expect(await predictions('silent')).not.toEqual(said);
    expect(await predictions('silent', '--preprocess', 'pictures.json')).toEqual(said);
  });

  it('are planned', async () => {
    const plan = lastLine(await run('plan', 'shards', '--batch', '4', '--json'));
    expect(plan).toMatchObject({ event: 'plan', model: 'shards', imageSize: 16, classes: 4 });
    const larger = await run('plan', 'shards', '--image-size', '32', '--classes', '2', '--json');
    expect(lastLine(larger)).toMatchObject({ imageSize: 32, classes: 2 });
  });
});

describe('training from weights', () => {
  it('recognises the model, keeps preprocessing and origin with the run', async () => {
    const ended = await train('--init', 'four', '--out', 'new');
    expect(ended.code, ended.stdout).toBe(0);
    const hash = sha256(readFileSync(path('four/model.safetensors')));
    expect(named(ended, 'weights')).toMatchObject({
      from: 'four',
      files: [{ file: 'model.safetensors', sha256: hash }],
      preprocess: { ...PICTURES, from: 'as the model says' },
      headIsKept: false,
    });
    expect(named(ended, 'loaded')).toMatchObject({
      replaced: ['head.weight', 'head.bias'],
      resized: [],
    });
    const kept = record('new');
    expect(kept).toMatchObject({
      ...{ init: 'four', classes: COLOURS, preprocess: PICTURES },
      model: { config: { width: 32, heads: 4, layerNormEps: 1e-12, classes: 3 } },
      origin: { from: 'four', files: [{ sha256: hash }] },
    });
    const { metadata } = readSafetensors(readFileSync(path('new/model.safetensors')));
    expect(JSON.parse(metadata.get('preprocess') ?? '')).toEqual(PICTURES);
    const evaluated = await run('eval', 'new', 'held', '--threads', '1', '--json');
    expect(lastLine(evaluated)['loss']).toBeCloseTo(Number(lastLine(ended)['loss']), 5);
    expect(await predictions('new/model.safetensors')).toEqual(await predictions('new'));
  });

  it('says in words what was done with them', async () => {
    const args = ['--init', 'four', '--val', 'held', '--threads', '1', '--out', 'said'];
    const { stdout } = await run('train', 'photos', ...STEP, ...args, '--image-size', '24');
    expect(stdout).toMatch(/^Weights {4}four: ViT-\S+, 16 px, 4 classes, Hugging Face names\n/m);
    expect(stdout).toContain(
      'Pictures   24 px, squashed, bilinear, mean 0.4 0.5 0.6, std 0.2 0.3 0.25 (as the model says)\n',
    );
    expect(stdout).toMatch(
      /Loaded 30 tensors of four; head\.weight and head\.bias start at zero for 3 classes; pos_embed resized to 24 px\n/,
    );
  });

  it('continues a run with its preprocessing, at another size with the same part', async () => {
    const first = ['--init', 'four', '--preprocess', 'imagenet', '--out', 'crop'];
    expect((await train(...first)).code).toBe(0);
    const { size, ...crop } = record('crop').preprocess;
    expect({ size, ...crop }).toMatchObject({
      size: 16,
      cropPercentage: 0.875,
      offset: 'down', // as an export says it
      std: [0.229, 0.224, 0.225],
    });
    const ended = await train('--init', 'crop', '--image-size', '32', '--out', 'larger');
    expect(ended.code, ended.stdout).toBe(0);
    expect(record('larger').preprocess).toEqual({ size: 32, ...crop });
  });

  it('finds ranks on pictures as the model reads them', async () => {
    const ended = await train('--init', 'shards', '--method', 'wsi=0.9', '--out', 'factored');
    expect(ended.code, ended.stdout).toBe(0);
    expect(record('factored').preprocess).toEqual(PICTURES);
    expect(await predictions('factored/model.safetensors')).toEqual(await predictions('factored'));
  });

  it('takes the architecture of --model and random weights with --init random', async () => {
    const ended = await train('--model', './four', '--init', 'random', '--out', 'random');
    expect(ended.code, ended.stdout).toBe(0);
    expect(named(ended, 'weights')).toBeUndefined();
    expect(record('random')).toMatchObject({
      init: null,
      model: { config: { width: 32, heads: 4 } },
    });
  });

  it('takes from --model what the tensors alone do not tell', async () => {
    const micro = ['--model', 'vit-micro', '--init', 'random', '--image-size', '16'];
    expect((await train(...micro, '--out', 'micro')).code).toBe(0);
    const { tensors } = readSafetensors(readFileSync(path('micro/model.safetensors')));
    writeFileSync(path('bare.safetensors'), writeSafetensors([...tensors.values()]));
    const ended = await train(
      '--model',
      'vit-micro',
      '--init',
      'bare.safetensors',
      '--out',
      'heads',
    );
    expect(named(ended, 'weights')).toMatchObject({
      description: expect.stringMatching(/; heads as --model vit-micro says$/) as string,
      headIsKept: true, // as many classes, and nothing says which
    });
    expect(record('heads').model).toEqual(record('micro').model);
    const other = ['--model', 'vit-tiny-16', '--init', 'bare.safetensors', '--out', 'never'];
    expect(message(await train(...other))).toContain('expected --model vit-tiny-16, which has');
  });

  it('refuses --model that the weights contradict', async () => {
    const ended = await train('--model', 'vit-micro', '--init', 'four', '--out', 'never');
    expect(message(ended)).toMatch(
      /^four\/model\.safetensors: expected --model vit-micro, which has .*depth 6.*got ViT-.*which has .*depth 2/,
    );
  });
});

describe('the head', () => {
  it('is kept where its labels are the classes', async () => {
    const ended = await train('--init', 'same', '--out', 'kept');
    expect(named(ended, 'weights')).toMatchObject({ headIsKept: true });
    expect(named(ended, 'loaded')).toMatchObject({ replaced: [] });
    const anew = await train('--init', 'same', '--head', 'new', '--out', 'anew');
    expect(named(anew, 'loaded')).toMatchObject({ replaced: ['head.weight', 'head.bias'] });
  });

  it('is not kept where as many labels say something else', async () => {
    writeFiles(path('others'), hubFiles(['cat', 'dog', 'owl']));
    const ended = await train('--init', 'others', '--out', 'owls');
    expect(named(ended, 'loaded')).toMatchObject({ replaced: ['head.weight', 'head.bias'] });
  });

  it('is kept with all its classes when asked to, in the order of the file', async () => {
    const ended = await train('--init', 'four', '--head', 'keep', '--out', 'all');
    expect(ended.code, ended.stdout).toBe(0);
    expect(record('all')).toMatchObject({ classes: LABELS, model: { config: { classes: 4 } } });
    const evaluated = await run('eval', 'all', 'held', '--threads', '1', '--json');
    expect(lastLine(evaluated)['loss']).toBeCloseTo(Number(lastLine(ended)['loss']), 5);
  });

  it('cannot be kept for classes that it does not have, or where there is none', async () => {
    const ended = await train('--init', 'others', '--head', 'keep', '--out', 'never');
    expect(message(ended)).toBe(
      '--head keep: expected classes among the 3 of others, got blue, green, red, which are not. ' +
        'Rename the folders, or choose --head new.',
    );
    expect(message(await train('--model', 'vit-micro', '--init', 'random', '--head', 'keep'))).toBe(
      '--head keep: expected weights with a classifier, got random ones. ' +
        'Leave --head out, or give --init a model that classifies.',
    );
  });
});

describe('bad files', () => {
  const bad = (name: string, files: Readonly<Record<string, Buffer | string>>) => {
    writeFiles(path(name), files);
    return run('predict', name, IMAGES[0], '--threads', '1', '--json');
  };
  const good = hubFiles(LABELS);
  const weights = good['model.safetensors'];
  const header = (text: string, length = text.length) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(length));
    return Buffer.concat([bytes, Buffer.from(text)]);
  };
  const tensor = (shape: number[], begin: number, end: number) =>
    JSON.stringify({ w: { dtype: 'F32', shape, data_offsets: [begin, end] } });
  const twice =
    '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}';

  it.each([
    ['truncated', { 'model.safetensors': weights.subarray(0, weights.length - 100) }],
    ['empty', { 'model.safetensors': '' }],
    ['long-header', { 'model.safetensors': header('{}', 2 ** 40) }],
    ['huge', { 'model.safetensors': header(tensor([2_500_000_000], 0, 10_000_000_000)) }],
    ['backwards', { 'model.safetensors': header(tensor([1], 4, 0)) }],
    ['overlapping', { 'model.safetensors': Buffer.concat([header(twice), Buffer.alloc(3)]) }],
    ['negative', { 'model.safetensors': header(tensor([-1], 0, 4)) }],
  ])('names the file of %s weights', async (name, files) => {
    const ended = await bad(name, { ...good, ...files });
    expect(ended.code).toBe(1);
    expect(lastLine(ended)).toMatchObject({ event: 'error', name: 'FormatError' });
    expect(message(ended)).toContain(`${name}/model.safetensors`);
  });

  it.each([
    ['no-json', 'not JSON', 'no-json/config.json: expected JSON, got '],
    ['list', '[1, 2]', 'list/config.json: expected a JSON object, got [1,2]'],
    [
      'wide',
      `{"a": "${' '.repeat(5_000_000)}"}`,
      'wide/config.json: expected JSON of at most 4.00 MB, got 5.00 MB',
    ],
  ])('says what is wrong with config.json: %s', async (name, config, text) => {
    expect(message(await bad(name, { ...good, 'config.json': config }))).toContain(text);
  });

  it('counts labels', async () => {
    const config = JSON.parse(good['config.json'].toString()) as Record<string, unknown>;
    const text = JSON.stringify({ ...config, id2label: { 0: 'a', 1: 'b' } });
    const ended = await bad('labels', { ...good, 'config.json': text });
    expect(message(ended)).toMatch(
      /labels\/model\.safetensors, config\.json, id2label: expected 4 names.*got 2/,
    );
  });

  it('says what it recognised of another architecture', async () => {
    const other = Buffer.concat([header(tensor([1], 0, 4)), Buffer.alloc(4)]);
    const ended = await bad('unknown', { 'model.safetensors': other });
    expect(lastLine(ended)).toMatchObject({ name: 'CheckpointError' });
    expect(message(ended)).toContain('unknown/model.safetensors');
  });

  const sharded = shardedFiles(LABELS);
  const [one, two] = Object.keys(sharded).filter((name) => name.startsWith('model-'));
  const index = (change: (map: Record<string, unknown>) => void) => {
    const parsed = JSON.parse(sharded['model.safetensors.index.json'].toString()) as {
      weight_map: Record<string, unknown>;
    };
    change(parsed.weight_map);
    return { ...sharded, 'model.safetensors.index.json': JSON.stringify(parsed) };
  };
  const first = 'vit.embeddings.cls_token';

  it.each([
    '../four/model.safetensors',
    '/etc/model.safetensors',
    'a\\b.safetensors',
    'a\0.safetensors',
    7,
  ])('refuses a shard called %j', async (name) => {
    const ended = await bad(
      'traversal',
      index((map) => (map[first] = name)),
    );
    expect(message(ended)).toContain(
      `traversal/model.safetensors.index.json, weight_map.${first}: expected the name of a ` +
        `safetensors file beside the index, got ${JSON.stringify(name)}`,
    );
  });

  it('compares index and shards', async () => {
    const lost = without(sharded, two);
    expect(message(await bad('lost', lost))).toContain(
      `expected 2 shards beside it, got no ${two}`,
    );
    const elsewhere = await bad(
      'elsewhere',
      index((map) => (map[first] = two)),
    );
    expect(message(elsewhere)).toContain(
      `expected tensor ${first} in ${two}, got it in elsewhere/${one}`,
    );
    const twice = await bad('twice', { ...sharded, [two]: sharded[one] });
    expect(message(twice)).toMatch(
      /expected tensor \S+ once, got it in twice\/model-00001\S+ and /,
    );
    const absent = await bad(
      'absent',
      index((map) => (map['absent'] = one)),
    );
    expect(message(absent)).toContain(
      `expected tensor absent in ${one}, got none of this name there`,
    );
    expect(
      message(await bad('no-map', { ...sharded, 'model.safetensors.index.json': '{}' })),
    ).toContain('no-map/model.safetensors.index.json, weight_map: expected an object, got nothing');
  });

  it('never opens pickles, and says how to convert them', async () => {
    const rest = without(good, 'model.safetensors');
    const ended = await bad('pickled', { ...rest, 'pytorch_model.bin': 'x' });
    expect(message(ended)).toMatch(
      /^pickled\/pytorch_model\.bin: expected weights in safetensors, got a PyTorch/,
    );
    writeFileSync(path('model.pt'), 'x');
    expect(message(await train('--init', 'model.pt'))).toContain('python -c "import torch');
  });

  it('says what a path could have been', async () => {
    expect(message(await train('--init', './none'))).toBe(
      './none: expected a file, a folder, or a model on the hub as owner/name, got nothing at this ' +
        'path. Check the path.',
    );
    const { code, stderr } = await run('plan', 'vit-mikro');
    expect(code).toBe(2);
    expect(stderr).toContain('The nearest is "vit-micro"');
  });
});
