/**
 * The thimble command from outside: what scripts rely on (JSON lines, exit codes, files) and what
 * people are told when the input is bad. Needs the compiled command (npm run build).
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { readSafetensors, writeSafetensors } from '@thimble/core';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PaperFields } from '../src/step/paper.js';
import { jsonLines, lastLine, thimble, writeClasses, type JsonLine } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-cli-'));
const CLASSES = ['blue', 'green', 'red'];

/** Small enough that a run is mostly the start of the process. */
const SMALL = ['--model', 'vit-micro', '--image-size', '16', '--threads', '1', '--workers', '0'];
const STEP = ['--batch', '8', '--optimizer', 'adamw', '--lr', '0.001', '--augment', 'none'];
/** Not from the weights that come with the model. */
const RANDOM = ['--init', 'random'];
const TRAIN = [...RANDOM, ...SMALL, ...STEP];

const run = (...args: string[]) => thimble(args, folder);

beforeAll(async () => {
  await writeClasses(join(folder, 'photos'), CLASSES, 12);
  await writeClasses(join(folder, 'held'), CLASSES, 4);
  await writeClasses(join(folder, 'one'), ['red'], 3);
  await writeClasses(join(folder, 'two-of'), ['blue', 'red'], 12);
  mkdirSync(join(folder, 'empty'));
  const base = ['--val', 'held', '--out', 'base', '--json'];
  const trained = await run('train', 'photos', ...TRAIN, ...base);
  expect(trained.stderr).not.toContain('Error');
  expect(trained.code).toBe(0);
  writeFileSync(join(folder, 'base.jsonl'), trained.stdout);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function baseLines() {
  const stdout = readFileSync(join(folder, 'base.jsonl'), 'utf8');
  return jsonLines({ stdout, stderr: '', code: 0 });
}

describe('train', () => {
  it('says start, every step and epoch, and the result last', () => {
    const lines = baseLines();
    expect(lines.filter(({ event }) => event === 'step')).toHaveLength(10 * 4);
    expect(lines.filter(({ event }) => event === 'epoch')).toHaveLength(10);
    expect(lines[0]).toMatchObject({ event: 'data', from: 'photos', validationFrom: 'held' });
    expect(lines[1]).toMatchObject({
      event: 'start',
      model: 'vit-micro',
      method: 'full',
      classes: CLASSES,
      trainImages: 36,
      validationImages: 12,
      steps: 40,
    });
    const done = lines.at(-1);
    expect(done).toMatchObject({ event: 'done', steps: 40, threads: 1, epochs: 10, skipped: 0 });
    expect(done?.['arenaBytes']).toBe(done?.['plannedBytes']);
    expect(done?.['rssPeakBytes']).toBeGreaterThan(Number(done?.['arenaBytes']));
    expect(done?.['msPerStep']).toBeGreaterThan(0);
    expect(done?.['executor']).toMatch(/^(native|wasm)$/);
    expect(done?.['accuracy']).toBeGreaterThan(0.9); // three plain colours
    expect(done?.['loss']).toBeLessThan(0.5);
  });

  it('writes weights, labels and a record with one entry for each epoch', () => {
    const record: unknown = JSON.parse(readFileSync(join(folder, 'base/run.json'), 'utf8'));
    expect(record).toMatchObject({
      format: 'thimble-run',
      version: 1,
      status: 'done',
      method: 'full',
      classes: CLASSES,
      batch: 8,
      model: { name: 'vit-micro', config: { imageSize: 16, classes: 3 } },
      history: Array.from({ length: 10 }, (_, index) => ({ epoch: index + 1 })),
    });
    expect(readFileSync(join(folder, 'base/labels.txt'), 'utf8')).toBe('blue\ngreen\nred\n');
    for (const file of ['model.safetensors', 'best.safetensors']) {
      expect(existsSync(join(folder, 'base', file))).toBe(true);
    }
  });

  it('says the same in words, and trains from a checkpoint with a new head', async () => {
    await writeClasses(join(folder, 'two'), ['blue', 'red'], 8);
    const init = ['--init', 'base/model.safetensors', '--method', 'last-k=2', '--epochs', '1'];
    const ended = await run('train', 'two', ...TRAIN, ...init);
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain('head.weight and head.bias start at zero for 2 classes');
    expect(ended.stdout).toMatch(/Epoch 1\/1 {2}loss \d/);
    expect(ended.stdout).toContain('Saved in runs/two-1');
    expect(existsSync(join(folder, 'runs/two-1/model.safetensors'))).toBe(true);
  });

  it('gives the same weights for the same seed, and for passes that fill a batch', async () => {
    const again = ['--val', 'held', '--epochs', '1'];
    await run('train', 'photos', ...TRAIN, ...again, '--out', 'first');
    await run('train', 'photos', ...TRAIN, ...again, '--out', 'second');
    const bytes = (name: string) => readFileSync(join(folder, name, 'model.safetensors'));
    expect(bytes('first').equals(bytes('second'))).toBe(true);
    const cut = ['--micro-batches', '2', '--json'];
    const ended = await run('train', 'photos', ...TRAIN, ...again, ...cut, '--out', 'third');
    expect(lastLine(ended)).toMatchObject({ event: 'done', steps: 4 });
    const losses = (text: string) => (JSON.parse(text) as { history: { loss: number }[] }).history;
    const [whole] = losses(readFileSync(join(folder, 'first/run.json'), 'utf8'));
    const [passes] = losses(readFileSync(join(folder, 'third/run.json'), 'utf8'));
    // The same images in the same updates; float32 sums in another order.
    expect(Math.abs(whole.loss - passes.loss)).toBeLessThan(1e-3);
  });

  it('finishes the step, saves and exits 130 on Ctrl-C', async () => {
    let asked = false;
    const args = ['train', 'photos', ...TRAIN, '--epochs', '500', '--out', 'stopped', '--json'];
    const ended = await thimble(args, folder, (line, interrupt) => {
      if (!asked && line.includes('"event":"step"')) interrupt();
      asked ||= line.includes('"event":"step"');
    });
    expect(ended.code).toBe(130);
    expect(lastLine(ended)).toMatchObject({ event: 'interrupted', run: 'stopped' });
    const record: unknown = JSON.parse(readFileSync(join(folder, 'stopped/run.json'), 'utf8'));
    expect(record).toMatchObject({ status: 'interrupted' });
    expect(existsSync(join(folder, 'stopped/model.safetensors'))).toBe(true);
  });
});

describe('eval and predict', () => {
  it('repeats the accuracy and loss of the last validation', async () => {
    const ended = await run('eval', 'base', 'held', '--threads', '1', '--workers', '0', '--json');
    expect(ended.code).toBe(0);
    const trained = baseLines().at(-1);
    const measured = lastLine(ended);
    expect(measured).toMatchObject({ event: 'done', images: 12, skipped: 0 });
    expect(measured['accuracy']).toBe(trained?.['accuracy']);
    expect(measured['loss']).toBeCloseTo(Number(trained?.['loss']), 5);
    expect(measured['perClass']).toMatchObject(CLASSES.map((name) => ({ name, images: 4 })));
  });

  it('prints a table of classes', async () => {
    const ended = await run('eval', 'base', 'held', '--threads', '1', '--best');
    expect(ended.stdout).toMatch(/Class +Images +Accuracy/);
    expect(ended.stdout).toMatch(/blue +4 +\d+\.\d %/);
  });

  it('classifies images and fails for those that it cannot read', async () => {
    writeFileSync(join(folder, 'broken.jpg'), 'no image');
    const images = ['held/red/0.png', 'broken.jpg', 'held/blue/1.png'];
    const ended = await run('predict', 'base', ...images, '--top', '2', '--threads', '1', '--json');
    expect(ended.code).toBe(1);
    const [red, blue, skipped, done] = jsonLines(ended);
    expect(red).toMatchObject({ event: 'prediction', image: 'held/red/0.png' });
    expect(red['classes']).toMatchObject([{ name: 'red' }, {}]);
    expect(blue['classes']).toMatchObject([{ name: 'blue' }, {}]);
    expect(skipped).toMatchObject({ event: 'skipped', name: 'broken.jpg' });
    expect(done).toMatchObject({ event: 'done', images: 2, failed: 1 });
  });

  it('tells what a run folder lacks', async () => {
    const missing = await run('predict', 'held', 'held/red/0.png');
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain(
      'held: expected model.safetensors or model.safetensors.index.json, or the folder of a run',
    );
    mkdirSync(join(folder, 'halfway'));
    copyFileSync(join(folder, 'base/run.json'), join(folder, 'halfway/run.json'));
    const halfway = await run('eval', 'halfway', 'held');
    expect(halfway.stderr).toContain('model.safetensors: expected a saved model, got nothing');
  });
});

describe.concurrent('plan', () => {
  it('refuses momentum in 8 bits where there is none', async () => {
    const ended = await run('plan', 'vit-micro', '--momentum', '0', '--momentum-bits', '8');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain(
      '--momentum-bits: expected --momentum above 0 with 8 bits, got --momentum 0',
    );
  });

  it('prints bytes, work and parameters', async () => {
    const ended = await run('plan', 'vit-tiny-16', '--method', 'head', '--batch', '8', '--json');
    const plan = lastLine(ended);
    expect(plan).toMatchObject({ event: 'plan', parameters: 5_717_416, trainable: 193_000 });
    expect(plan['saved']).toBe('exact');
    expect(plan['weightBytes']).toBe(4 * 5_717_416);
    expect(plan['optimizerBytes']).toBe(4 * 193_000);
    const kept = ['weightBytes', 'tableBytes', 'optimizerBytes'];
    const parts = [...kept, 'savedBytes', 'transientBytes'];
    const sum = parts.reduce((bytes, name) => bytes + Number(plan[name]), 0);
    expect(plan['peakBytes']).toBe(sum);
    expect(plan['flopsPerStep']).toBeGreaterThan(8 * 2e9); // forward: about 2.5 GFLOP an image
  });

  it('keeps fewer bytes in the smaller forms of saved tensors', async () => {
    const bytes = async (form: string) => {
      const args = ['plan', 'vit-micro', '--batch', '8', '--saved', form];
      const ended = await run(...args, '--json');
      const { stdout } = await run(...args);
      expect(stdout).toContain(`saved ${form}`);
      return Number(lastLine(ended)['savedBytes']);
    };
    const found = await Promise.all(['all', 'exact', 'compact', 'smallest'].map(bytes));
    expect(found).toEqual([...found].sort((a, b) => b - a));
    const ended = await run('plan', 'vit-micro', '--saved', 'compat');
    expect(ended.stderr).toContain('form of saved tensors: expected one of all, exact, compact');
    expect(ended.stderr).toContain('The nearest is "compact"');
  });

  it('puts the counts of the WASI paper beside the plan', async () => {
    const args = ['plan', 'vit-base-32', '--batch', '128', '--saved', 'all', '--paper'];
    const plan = lastLine(await run(...args, '--json'));
    const { paper } = plan as JsonLine & { paper: PaperFields };
    expect(paper).toMatchObject({ pass: 128, linears: 'mlp', counted: { layers: 24 } });
    expect((4 * paper.counted.dense.inputElements) / 2 ** 20).toBe(1125);
    expect((4 * paper.counted.dense.weightElements) / 2 ** 20).toBe(216);
    expect(paper.planned.full.peak).toBe(plan['peakBytes']);
    // The plan keeps only the class token of the 50 in the last block: of fc1's 768 and fc2's 3072.
    const dead = 128 * 49 * (768 + 3072);
    expect(paper.planned.full.inputs).toBe(4 * (paper.counted.dense.inputElements - dead));
    const { stdout } = await run(...args);
    expect(stdout).toMatch(/Inputs, saved +1125\.00 +1125\.00 +1\.00 ×/);
    expect(stdout).toMatch(/Their inputs, saved +1033\.13 +1033\.13 +1\.00 × +yes/);
    expect(stdout).toContain('leaves out: forming the cores, the first decomposition, attention');
  });

  it('is what train allocates', async () => {
    const ended = await run(
      'plan',
      ...TRAIN.slice(0, -6),
      '--optimizer',
      'adamw',
      '--classes',
      '3',
      '--json',
    );
    expect(lastLine(ended)).toMatchObject({ event: 'error' }); // --workers is none of its options
    const options = SMALL.slice(0, -2);
    const sized = ['--batch', '8', '--optimizer', 'adamw', '--classes', '3', '--json'];
    const plan = lastLine(await run('plan', ...options, ...sized));
    expect(plan['peakBytes']).toBe(baseLines().at(-1)?.['arenaBytes']);
  });

  it('draws the memory and prints the text forms', async () => {
    const drawn = await run('plan', 'vit-micro', '--batch', '2', '--svg', 'memory.svg');
    expect(drawn.stdout).toContain('Drawn in memory.svg');
    const svg = readFileSync(join(folder, 'memory.svg'), 'utf8');
    expect(svg).toMatch(/^<svg .*<\/svg>$/s);
    expect(svg).toContain('<title>blocks.0.mlp.fc1.y [2, 65, 512], saved, ');
    const program = await run('plan', 'vit-micro', '--batch', '2', '--print', 'program');
    expect(program.stdout).toMatch(/^program arena \d+ bytes/);
    const graph = await run('plan', 'vit-micro', '--batch', '2', '--print', 'graph');
    expect(graph.stdout).toMatch(/^entry step\n/);
  });
});

describe.concurrent('bad input', () => {
  const train = (...args: string[]) =>
    run('train', ...RANDOM, ...args, ...SMALL, ...STEP, '--json');

  it.each([
    [
      'nowhere',
      'nowhere: expected a readable folder with one sub-folder per class, got nothing at this path',
    ],
    ['empty', 'empty: expected one sub-folder with images per class, got an empty folder'],
    [
      'one',
      'one: expected images of at least two classes, one sub-folder per class, got only the class',
    ],
  ])('refuses the folder %s', async (name, message) => {
    const ended = await train(name);
    expect(ended.code).toBe(1);
    const error = lastLine(ended);
    expect(error).toMatchObject({ event: 'error', name: 'DataError', exitCode: 1 });
    expect(error['message']).toContain(message);
  });

  it.each([
    [['--model', 'vit-tiny'], 'The nearest is "vit-tiny-16"'],
    [['--method', 'haed'], 'The nearest is "head"'],
    [['--optimizer', 'adam'], 'The nearest is "adamw"'],
    [['--executor', 'nativ'], 'The nearest is "native"'],
    [['--micro-batches', '3'], '--micro-batches: expected a divisor of --batch 8, got 3'],
    [
      ['--image-size', '18'],
      '--image-size: expected for vit-micro a multiple of the patch 4, got 18',
    ],
    [['--momentum', '0.9'], '--momentum: expected --optimizer sgd, got --optimizer adamw'],
    [['--momentum-bits', '8'], '--momentum-bits: expected --optimizer sgd, got --optimizer adamw'],
    [['--momentum-bits', '16'], 'Expected 8 or 32.'],
    [['--memory', 'much'], 'Expected a size as in 512MB'],
    [['--image-size', '100000'], 'Expected a whole number ≥ 1 and ≤ 16384.'],
    [['--epochs', '1000000000000'], 'Expected a whole number ≥ 1 and ≤ 1000000.'],
    [['--val-fraction', '0'], 'Expected a number above 0 and below 1.'],
    [['--augmnt', 'none'], 'Did you mean --augment?'],
  ])('refuses %j', async (args, message) => {
    const ended = await run('train', 'photos', ...TRAIN, ...args, '--json');
    expect(ended.code).toBe(2);
    const error = lastLine(ended);
    expect(error).toMatchObject({ event: 'error', exitCode: 2 });
    expect(error['message']).toContain(message);
  });

  it('names the nearest command', async () => {
    const ended = await run('trian', 'photos');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('Did you mean train?');
  });

  it('refuses a batch larger than the set', async () => {
    const ended = await train('photos', '--batch', '64', '--out', 'never');
    const batch = await run('train', 'photos', ...TRAIN, '--batch', '64', '--json');
    expect(ended.code).toBe(0); // the later --batch 8 counts
    expect(batch.code).toBe(1);
    expect(lastLine(batch)['message']).toContain(
      'training set: expected at least one batch of 64 images, got',
    );
  });

  it('never overwrites a run unless told to', async () => {
    const ended = await train('photos', '--out', 'base');
    expect(ended.code).toBe(2);
    expect(lastLine(ended)['message']).toContain(
      '--out base: expected a new or empty folder, got an earlier run',
    );
  });

  it('keeps an earlier run whole when the one that is to replace it fails', async () => {
    cpSync(join(folder, 'base'), join(folder, 'kept'), { recursive: true });
    const args = ['--init', 'random', '--lr', '1e30', '--out', 'kept', '--force'];
    const ended = await run('train', 'two-of', ...SMALL, ...args);
    expect(ended.code).toBe(1);
    expect(readdirSync(join(folder, 'kept'))).toEqual(readdirSync(join(folder, 'base')));
    for (const file of readdirSync(join(folder, 'base'))) {
      const [kept, base] = ['kept', 'base'].map((name) => readFileSync(join(folder, name, file)));
      expect(kept.equals(base), file).toBe(true);
    }
  });

  it('tells before training when the run folder cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    const ended = await train('photos', '--out', 'file/run');
    expect(ended.code).toBe(2);
    expect(lastLine(ended)['message']).toContain(
      '--out file/run: expected a folder that can be written to, got a file where a folder should be',
    );
    expect(jsonLines(ended).map(({ event }) => event)).toEqual(['error']);
  });

  it('lists unreadable images at the end, and stops at the first with --strict', async () => {
    await writeClasses(join(folder, 'mixed'), CLASSES, 10);
    writeFileSync(
      join(folder, 'mixed/red/torn.jpg'),
      readFileSync(join(folder, 'held/red/0.png')).subarray(0, 60),
    );
    writeFileSync(join(folder, 'mixed/red/notes.txt'), 'not an image');
    const args = ['train', 'mixed', ...TRAIN, '--val', 'held', '--epochs', '2'];
    const lenient = await run(...args);
    expect(lenient.code).toBe(0);
    expect(lenient.stdout).toMatch(/1 image could not be read:\n {2}mixed\/red\/torn\.jpg: \S/);
    expect(lenient.stdout).toContain('Left out   1 file that is no picture: mixed/red/notes.txt\n');
    const strict = await run(...args, '--strict', '--json');
    expect(strict.code).toBe(1);
    expect(lastLine(strict)).toMatchObject({ event: 'error', name: 'DataError' });
    expect(lastLine(strict)['message']).toContain(
      'torn.jpg: expected a complete JPEG, PNG or WebP',
    );
  });

  it('names file, tensor and shapes of a checkpoint that does not fit', async () => {
    const { tensors } = readSafetensors(readFileSync(join(folder, 'base/model.safetensors')));
    const narrow = [...tensors.values()].map((tensor) =>
      tensor.name === 'norm.weight'
        ? { name: tensor.name, dtype: tensor.dtype, shape: [64], data: new Float32Array(64) }
        : tensor,
    );
    writeFileSync(join(folder, 'narrow.safetensors'), writeSafetensors(narrow));
    const ended = await train('photos', '--init', 'narrow.safetensors');
    expect(ended.code).toBe(1);
    expect(lastLine(ended)['message']).toBe(
      'narrow.safetensors, tensor norm.weight: expected shape [128] in ViT-128x6/4, 16 px, 3 ' +
        'classes, timm names, got [64]. The file is damaged or was put together from several models.',
    );
  });

  it('names the file of a damaged checkpoint', async () => {
    const good = readFileSync(join(folder, 'base/model.safetensors'));
    writeFileSync(join(folder, 'short.safetensors'), good.subarray(0, good.length - 8));
    const ended = await train('photos', '--init', 'short.safetensors');
    expect(ended.code).toBe(1);
    expect(lastLine(ended)).toMatchObject({ event: 'error', name: 'FormatError' });
    expect(lastLine(ended)['message']).toContain('short.safetensors, ');
  });

  it('stops with the step when the loss is not finite, and saves nothing from it', async () => {
    const nan = ['--lr', '1e30', '--out', 'nan', '--json'];
    const ended = await run('train', 'photos', ...RANDOM, ...SMALL, ...nan);
    expect(ended.code).toBe(1);
    expect(lastLine(ended)).toMatchObject({ event: 'error', name: 'TrainingError' });
    expect(lastLine(ended)['message']).toMatch(/step \d+, epoch 1: expected a finite loss/);
    expect(existsSync(join(folder, 'nan/model.safetensors'))).toBe(false);
    const record: unknown = JSON.parse(readFileSync(join(folder, 'nan/run.json'), 'utf8'));
    expect(record).toMatchObject({ status: 'failed', history: [] });
  });
});

describe.concurrent('help', () => {
  it.each(['train', 'eval', 'predict', 'plan', 'demo'])('shows examples for %s', async (name) => {
    const ended = await run(name, '--help');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(new RegExp(`Examples?:\\n {2}thimble ${name}`));
  });

  it('knows its version', async () => {
    expect((await run('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});
