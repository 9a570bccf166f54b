/** Folders of pictures from outside: what train, eval and predict say of them, refuse and leave behind. */
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jsonLines, lastLine, thimble, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-data-'));
const CLASSES = ['blue', 'green', 'red'];
const SMALL = ['--init', 'random', '--image-size', '16', '--threads', '1', '--epochs', '1'];
const TRAIN = [...SMALL, '--batch', '4', '--augment', 'none', '--optimizer', 'adamw'];

const run = (...args: string[]) => thimble(args, folder);
const at = (...names: string[]) => join(folder, ...names);

beforeAll(async () => {
  await writeClasses(at('photos', 'Training'), CLASSES, 6);
  await writeClasses(at('photos', 'Testing'), CLASSES, 2);
  const trained = await run('train', 'photos', ...TRAIN, '--out', 'base', '--json');
  expect(trained.stderr).toBe('');
  writeFileSync(at('base.jsonl'), trained.stdout);
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('train', () => {
  it('takes a split by its names, and says so in the first line and in the record', () => {
    const lines = jsonLines({
      stdout: readFileSync(at('base.jsonl'), 'utf8'),
      stderr: '',
      code: 0,
    });
    expect(lines[0]).toMatchObject({
      event: 'data',
      from: 'photos/Training',
      validationFrom: 'photos/Testing',
      heldOut: null,
      classes: CLASSES.map((name) => ({ name, trainImages: 6, validationImages: 2 })),
      leftOut: [],
      copies: { acrossSides: { count: 6 }, acrossClasses: { count: 0 }, within: { count: 0 } },
    });
    const record: unknown = JSON.parse(readFileSync(at('base/run.json'), 'utf8'));
    expect(record).toMatchObject({
      classes: CLASSES,
      data: { from: 'photos/Training', validationFrom: 'photos/Testing', trainImages: 18 },
    });
  });

  it('refuses a class that would be lost, before anything is written, unless told to', async () => {
    cpSync(at('photos/Training'), at('phone'), { recursive: true });
    mkdirSync(at('phone/iphone'));
    writeFileSync(at('phone/iphone/1.HEIC'), 'x');
    const refused = await run('train', 'phone', ...TRAIN, '--out', 'never', '--json');
    expect(refused.code).toBe(1);
    expect(jsonLines(refused)).toHaveLength(1);
    expect(lastLine(refused)).toMatchObject({
      ...{ event: 'error', name: 'DataError', where: 'phone' },
      got: "none in 'iphone' (.heic only)",
    });
    const told = await run('train', 'phone', ...TRAIN, '--out', 'told', '--allow-empty');
    expect(told.code).toBe(0);
    expect(told.stdout).toContain(
      'Left out   1 picture in a format that is not read, .heic: phone/iphone/1.HEIC\n' +
        'Left out   1 class folder of which nothing can be read: phone/iphone\n',
    );
    expect(readFileSync(at('told/labels.txt'), 'utf8')).toBe('blue\ngreen\nred\n');
  });

  it('refuses class folders beside a part of a split, unless it is a class', async () => {
    cpSync(at('photos/Training'), at('beside'), { recursive: true });
    cpSync(at('photos/Training/red'), at('beside/test'), { recursive: true });
    rmSync(at('beside/red'), { recursive: true });
    const refused = await run('train', 'beside', ...TRAIN, '--json');
    expect(lastLine(refused)).toMatchObject({ event: 'error', where: 'beside/test', exitCode: 1 });
    const told = await run('train', 'beside', ...TRAIN, '--as-classes', '--out', 'classes');
    expect(told.code).toBe(0);
    expect(readFileSync(at('classes/labels.txt'), 'utf8')).toBe('blue\ngreen\ntest\n');
  });
});

describe('eval', () => {
  it('says which folder it measures on and whose name it took for a class', async () => {
    cpSync(at('photos'), at('spelled'), { recursive: true });
    cpSync(at('spelled/Testing/red'), at('spelled/Testing/Red'), { recursive: true });
    rmSync(at('spelled/Testing/red'), { recursive: true });
    const ended = await run('eval', 'base', 'spelled', '--threads', '1');
    expect(ended.code).toBe(0);
    expect(ended.stdout).toContain(
      "Data       spelled/Testing: 6 images of 3 of the model's 3 classes\n" +
        'Left out   1 folder of the split that is not used: spelled/Training\n' +
        "Names      taken for their classes: 'Red' as 'red'\n",
    );
  });
});

describe('predict', () => {
  it('takes folders and patterns, and names what is none of these', async () => {
    mkdirSync(at('inbox/deep'), { recursive: true });
    copyFileSync(at('photos/Testing/red/0.png'), at('inbox/b\n\u001b[31m.png'));
    copyFileSync(at('photos/Testing/red/1.png'), at('inbox/deep/a.png'));
    writeFileSync(at('inbox/notes.txt'), 'x');
    const names = ['gone.png', 'inbox', 'photos/Testing/re?/1.png', '--top', '1'];
    const ended = await run('predict', 'base', ...names, '--threads', '1');
    expect(ended.code).toBe(1);
    expect(ended.stdout.split('\n').map((line) => line.split('  ')[0])).toEqual([
      'inbox/b\\n\\x1b[31m.png',
      'inbox/deep/a.png',
      'photos/Testing/red/1.png',
      '',
    ]);
    expect(ended.stderr).toBe(
      'thimble: left out 1 file that is no picture: inbox/notes.txt\n' +
        'thimble: 1 image could not be read:\n' +
        '  gone.png: expected a JPEG, PNG or WebP file, or a folder of them, got nothing at this path. ' +
        'Check the path.\n',
    );
  });
});
