/**
 * Names of classes through the command: equal ones in predict, eval, training and exports, and those that no file
 * could hold. Needs the compiled command (npm run build).
 */
import { env, pipeline, type ImageClassificationPipeline } from '@huggingface/transformers';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../src/run/record.js';
import { jsonLines, lastLine, thimble, writeClasses, type JsonLine } from './cli-command.js';
import { hubFiles, writeFiles } from './tiny-models.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-labels-'));
const path = (...parts: string[]) => join(folder, ...parts);
const LABELS = ['crane', 'rose', 'crane', 'fan, blower'];
const PICTURE = 'photos/rose/0.png';
const run = (...args: string[]) => thimble([...args, '--threads', '1', '--json'], folder);

interface Class {
  readonly name: string;
  readonly index: number;
  readonly probability: number;
}

type Prediction = JsonLine & { readonly classes: readonly Class[] };

async function done(...args: string[]): Promise<Readonly<Record<string, unknown>>> {
  const ended = await run(...args);
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  return lastLine(ended);
}

async function failure(...args: string[]): Promise<Readonly<Record<string, unknown>>> {
  const ended = await run(...args);
  expect(ended.code, ended.stdout).not.toBe(0);
  return lastLine(ended);
}

async function classesIn(from: string): Promise<readonly Class[]> {
  const ended = await run('predict', from, PICTURE, '--top', '4');
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  const [prediction] = jsonLines(ended) as readonly Prediction[];
  return prediction.classes;
}

beforeAll(async () => {
  await writeClasses(path('colours'), ['blue', 'green', 'red'], 4);
  for (const [colour, name] of [
    ['blue', 'crane'],
    ['green', 'rose'],
  ]) {
    mkdirSync(path('photos'), { recursive: true });
    renameSync(path('colours', colour), path('photos', name));
  }
  writeFiles(path('model'), hubFiles(LABELS));
  await done('export', 'model', '--format', 'onnx,hf,safetensors', '--out', 'exported');
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('equal labels', () => {
  it('are told from each other by the number of the output', async () => {
    const classes = await classesIn('model');
    expect(classes.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3]);
    for (const { name, index } of classes) expect(name).toBe(LABELS[index]);
    const { stdout } = await thimble(['predict', 'model', PICTURE, '--top', '4'], folder);
    for (const title of ['crane (output 0)', 'crane (output 2)', 'rose', 'fan, blower']) {
      expect(stdout).toContain(`  ${title} `);
    }
  });

  it('are one class of an evaluation, whose images count once', async () => {
    const { images, accuracy, loss, perClass } = await done('eval', 'model', 'photos');
    expect(images).toBe(8);
    expect(perClass).toEqual([
      { name: 'crane', images: 4, accuracy: expect.any(Number) as number },
      { name: 'rose', images: 4, accuracy: expect.any(Number) as number },
      { name: 'fan, blower', images: 0, accuracy: null },
    ]);
    const files = ['crane', 'rose'].flatMap((name) =>
      [0, 1, 2, 3].map((index) => `photos/${name}/${String(index)}.png`),
    );
    const ended = await run('predict', 'model', ...files, '--top', '4');
    const lines = jsonLines(ended).slice(0, -1) as readonly Prediction[];
    const answers = lines.map(({ classes }, index) => {
      const truth = index < 4 ? 'crane' : 'rose';
      const own = classes.filter(({ name }) => name === truth);
      const probability = own.reduce((sum, each) => sum + each.probability, 0);
      return { isRight: classes[0].name === truth, loss: -Math.log(probability) };
    });
    expect(accuracy).toBe(answers.filter(({ isRight }) => isRight).length / 8);
    expect(loss).toBeCloseTo(answers.reduce((sum, each) => sum + each.loss, 0) / 8, 5);
  });

  it('are doubtful for training, which needs one output for each folder', async () => {
    const args = ['--head', 'keep', '--epochs', '1', '--batch', '4', '--out', 'run'];
    expect((await failure('train', 'photos', '--init', 'model', ...args)).message).toBe(
      "--head keep: expected classes that each mean one output of model, got 'crane', which 2 outputs " +
        'are called (0, 2). Leave the folder out, or choose --head new.',
    );
  });

  it('are kept with the classifier of which other folders train outputs', async () => {
    await writeClasses(path('others'), ['green', 'red'], 4);
    renameSync(path('others', 'green'), path('others', 'rose'));
    renameSync(path('others', 'red'), path('others', 'fan'));
    const args = ['--epochs', '1', '--batch', '4', '--workers', '0', '--out', 'kept'];
    await done('train', 'others', '--init', 'model', '--head', 'keep', ...args);
    const record = JSON.parse(readFileSync(path('kept', 'run.json'), 'utf8')) as RunRecord;
    expect(record.classes).toEqual(LABELS);
    expect(readFileSync(path('kept', 'labels.txt'), 'utf8')).toBe(`${LABELS.join('\n')}\n`);
    expect(await classesIn('kept/model.safetensors')).toEqual(await classesIn('kept'));
    const { images, perClass } = await done('eval', 'kept', 'photos');
    expect(images).toBe(8);
    expect(perClass).toMatchObject([{ images: 4 }, { images: 4 }, { images: 0 }]);
  });

  it('come back from an export in every form', async () => {
    const config = JSON.parse(readFileSync(path('exported', 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({
      id2label: { 0: 'crane', 1: 'rose', 2: 'crane', 3: 'fan, blower' },
      label2id: { crane: 2, rose: 1, 'fan, blower': 3 }, // as transformers writes it: the last
    });
    expect(readFileSync(path('exported', 'labels.txt'), 'utf8')).toBe(`${LABELS.join('\n')}\n`);
    expect(readFileSync(path('exported', 'onnx', 'model.onnx'), 'latin1')).toContain(
      JSON.stringify(LABELS),
    );
    const ours = await classesIn('model');
    for (const from of ['exported', 'exported/thimble.safetensors']) {
      expect(await classesIn(from)).toEqual(ours);
    }
  });

  it('are both answered in transformers.js', async () => {
    env.allowRemoteModels = false;
    env.localModelPath = folder;
    const classify: ImageClassificationPipeline = await pipeline(
      'image-classification',
      'exported',
    );
    try {
      const answers = (await classify(path(PICTURE), { top_k: 4 })) as { label: string }[];
      expect(answers.map(({ label }) => label).sort()).toEqual([...LABELS].sort());
    } finally {
      await classify.dispose();
    }
  });
});

describe('names that no file could hold', () => {
  it.each([
    ['empty.txt', 'a\n\nc\nd\n', 'class 1: expected a name in one line'],
    ['control.txt', 'a\nb\u0007\nc\nd\n', 'class 1: expected a name in one line'],
    ['return.txt', 'a\rb\nb\nc\nd\n', 'class 0: expected a name in one line'],
    ['long.txt', `a\nb\n${'c'.repeat(1001)}\nd\n`, 'class 2: expected a name in one line'],
    ['latin1.txt', Buffer.from('a\nb\nFl\u00fcgel\nd\n', 'latin1'), 'expected text in UTF-8'],
    ['utf16.txt', Buffer.from('\ufeffa\nb\nc\nd\n', 'utf16le'), 'expected text in UTF-8'],
    ['huge.txt', Buffer.alloc(16_000_001), 'in each line of at most 16.0 MB, got 16.0 MB'],
    ['.', null, 'expected a text file with the name of a class in each line, got a folder'],
  ])('are refused in %s', async (name, contents, message) => {
    if (contents !== null) writeFileSync(path(name), contents);
    const args = ['--labels', name, '--out', 'refused', '--format', 'hf'];
    const text = String((await failure('export', 'model', ...args)).message);
    expect(text).toContain(`--labels ${name}`);
    expect(text).toContain(message);
  });

  it('may be given with a byte order mark and the line ends of Windows', async () => {
    writeFileSync(path('windows.txt'), '\ufeffkran\r\nrose\r\nkran \r\nL\u00fcfter\r\n\r\n');
    await done('export', 'model', '--labels', 'windows.txt', '--out', 'german', '--format', 'hf');
    const names = (await classesIn('german')).map(({ name }) => name).sort();
    expect(names).toEqual(['L\u00fcfter', 'kran', 'kran', 'rose']);
  });

  it('are read where others wrote them, and not written again', async () => {
    writeFiles(path('lines'), hubFiles(['a\nb', 'b', 'c']));
    expect((await classesIn('lines')).map(({ name }) => name)).toContain('a\nb');
    expect((await failure('export', 'lines', '--out', 'refused', '--format', 'hf')).message).toBe(
      'lines/model.safetensors, class 0: expected a name in one line, of 1 to 1000 characters, got "a\\nb", ' +
        'with control characters or line ends in it. Pass other names with --labels FILE.',
    );
  });

  it('are refused as names of folders before anything is trained', async () => {
    await writeClasses(path('odd'), ['blue', 'red'], 2);
    renameSync(path('odd', 'red'), path('odd', 'red\nrose'));
    const args = ['--epochs', '1', '--batch', '2', '--out', 'run'];
    expect((await failure('train', 'odd', ...args)).message).toBe(
      "odd/red\\nrose: expected the name of a class, which becomes a line of labels.txt, got 'red\\nrose', " +
        'with control characters or line ends in it. Rename the folder.',
    );
  });
});
