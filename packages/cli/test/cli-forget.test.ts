/**
 * thimble forget on runs of tiny models: what it reports and writes, undoing to the bit, a dry run, a sweep, lists of
 * images, factored weights, and what it refuses. Needs the compiled command (npm run build).
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ForgottenRecord } from '../src/run/forgotten.js';
import {
  jsonLines,
  lastLine,
  thimble,
  writeClasses,
  type Ended,
  type JsonLine,
} from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-forget-'));
const CLASSES = ['blue', 'green', 'red'];
const TRAIN = [
  ...['--model', 'vit-micro', '--image-size', '16', '--threads', '1', '--init', 'random'],
  ...['--batch', '8', '--lr', '0.002', '--augment', 'none', '--epochs', '3'],
];

const run = (...args: string[]) => thimble(args, folder);
const path = (...parts: string[]) => join(folder, ...parts);
const forget = (...args: string[]) => run('forget', ...args, '--threads', '1', '--json');

/** The files of a run with their bytes. */
function contents(name: string): Record<string, string> {
  const files = readdirSync(path(name)).sort();
  return Object.fromEntries(files.map((file) => [file, readFileSync(path(name, file), 'base64')]));
}

/** A copy of a run, to be changed. */
function copyOf(name: string, copy: string): string {
  rmSync(path(copy), { recursive: true, force: true });
  cpSync(path(name), path(copy), { recursive: true });
  return copy;
}

interface Scores {
  readonly retainedAccuracy: number;
  readonly forgottenAccuracy: number;
  readonly attackedAccuracy: number;
}

/** What `thimble forget` says at its end. */
interface Done extends JsonLine, ForgottenRecord {
  readonly before: Scores;
  readonly after: Scores;
  readonly groups: readonly { readonly group: string; readonly selected: number }[];
  readonly trials: readonly {
    readonly alpha: number;
    readonly share: number;
    readonly scores: Scores;
    readonly isWithin: boolean;
  }[];
  readonly warnings: readonly string[];
  readonly undoBytes: number | null;
  readonly plannedBytes: number;
}

function done(ended: Ended): Done {
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  return lastLine(ended) as Done;
}

function recordOf(name: string): { readonly forgotten?: readonly ForgottenRecord[] } {
  return JSON.parse(readFileSync(path(name, 'run.json'), 'utf8')) as { forgotten?: [] };
}

beforeAll(async () => {
  await writeClasses(path('photos'), CLASSES, 16);
  const full = await run('train', 'photos', ...TRAIN, '--out', 'full');
  expect(full.code, full.stdout + full.stderr).toBe(0);
  const low = await run('train', 'photos', ...TRAIN, '--method', 'lora=4', '--out', 'lora');
  expect(low.code, low.stdout + low.stderr).toBe(0);
}, 240_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a class', () => {
  it('is forgotten in both files of weights, recorded, and comes back to the bit', async () => {
    const name = copyOf('full', 'class');
    writeFileSync(path(name, 'best.safetensors'), readFileSync(path('full', 'model.safetensors')));
    const earlier = contents(name);
    // From 1.8 to 2.4 it comes out the same.
    const said = done(await forget(name, '--class', 'green', '--alpha', '2.2'));
    expect(said.before).toMatchObject({ retainedAccuracy: 1, forgottenAccuracy: 1 });
    expect(said.after).toMatchObject({ retainedAccuracy: 1, forgottenAccuracy: 0 });
    const [record] = recordOf(name).forgotten ?? [];
    expect(record).toEqual({
      ...{ class: 'green', images: 13, weights: 'last', lambda: 1, threshold: 'given' },
      ...{ importance: 'sample', pass: 1, labelFree: false, base: 'all' },
      ...{ alpha: 2.2, share: said.share },
    });
    const now = contents(name);
    expect(now['model.safetensors']).toBe(now['best.safetensors']);
    expect(now['model.safetensors']).not.toBe(earlier['model.safetensors']);
    expect(Object.keys(now)).toEqual([...Object.keys(earlier), 'forgotten.safetensors'].sort());
    expect(statBytes(name, 'forgotten.safetensors')).toBe(said.undoBytes);
    const info = await run('info', name);
    expect(info.stdout).toMatch(
      /Forgotten +class green after training \(α \S+, \S+ % of the weights\)/,
    );
    const back = await forget(name, '--undo');
    expect(back.code, back.stderr).toBe(0);
    expect(contents(name)).toEqual(earlier);
  });

  it('is forgotten after another one, and both come back together', async () => {
    const name = copyOf('full', 'two');
    const earlier = contents(name);
    done(await forget(name, '--class', 'green', '--best'));
    const second = done(await forget(name, '--class', 'red'));
    expect(second).toMatchObject({ weights: 'last', threshold: 'automatic', base: 'retained' });
    // ln(1 + 100 · 13/39) % of the weights that either set says something of.
    expect(second.share).toBeGreaterThan(0.034);
    expect(second.share).toBeLessThan(0.036);
    expect(recordOf(name).forgotten?.map((each) => each.class)).toEqual(['green', 'red']);
    const files = Object.keys(contents(name));
    const differed = earlier['model.safetensors'] !== earlier['best.safetensors'];
    expect(files.includes('set-aside.safetensors')).toBe(differed);
    const back = await forget(name, '--undo');
    expect(back.code, back.stderr).toBe(0);
    expect(contents(name)).toEqual(earlier);
  });
});

describe('a dry run', () => {
  it('says the shares by layers and leaves everything as it is', async () => {
    const earlier = contents('full');
    const ended = await run('forget', 'full', '--class', 'red', '--dry-run', '--threads', '1');
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stdout).toMatch(/Forgetting class red: 13 images of training, last weights/);
    expect(ended.stdout).toMatch(/Layers +Weights +Dampened +Share/);
    expect(ended.stdout).toMatch(/blocks\.5 +\S+ k/);
    expect(ended.stdout).toMatch(/Retained +\S+ % +\S+ %/);
    expect(ended.stdout).toMatch(/Nothing was written\n$/);
    expect(contents('full')).toEqual(earlier);
  });

  it('warns of an α that can select nothing of single images', async () => {
    const said = done(await forget('full', '--class', 'red', '--dry-run', '--alpha', '3'));
    expect(said.base).toBe('all');
    expect(said.share).toBe(0);
    expect(said.warnings).toEqual([
      'with the importance of single images, no weight can matter more than 3.00 times as much for 13 of 39 ' +
        'images as for all; α 3.00 is not below that',
      'no weight was selected: nothing was forgotten',
    ]);
  });
});

it('nothing selected leaves the run as it is', async () => {
  const name = copyOf('full', 'none');
  const earlier = contents(name);
  const said = done(await forget(name, '--class', 'red', '--alpha', '1e30'));
  expect(said.undoBytes).toBeNull();
  expect(contents(name)).toEqual(earlier);
});

it('a sweep takes what forgets most within the budget, and no more than that needs', async () => {
  const said = done(
    await forget('full', '--class', 'blue', '--dry-run', '--sweep', '--budget', '0.1'),
  );
  expect(said.threshold).toBe('swept');
  const within = said.trials.filter(({ isWithin }) => isWithin);
  const least = Math.min(...within.map(({ scores }) => scores.forgottenAccuracy));
  const best = within.filter(({ scores }) => scores.forgottenAccuracy === least);
  expect(said.alpha).toBe(Math.max(...best.map(({ alpha }) => alpha)));
  for (const { share } of within) expect(share).toBeLessThanOrEqual(0.5);
  expect(said.trials.some(({ isWithin }) => !isWithin)).toBe(true);
  expect(said.after.retainedAccuracy).toBeGreaterThanOrEqual(said.before.retainedAccuracy - 0.1);
});

it('images of a list, by batches, without labels', async () => {
  const list = ['photos/red/0.png', 'photos/blue/3.png', 'green/1.png'];
  const data = ['--files', 'list.txt', '--dry-run'];
  writeFileSync(path('list.txt'), list.join('\n'));
  const first = await forget('full', ...data);
  // Some of the three may have been held out.
  const kept = first.code === 0 ? list : list.filter((line) => !first.stdout.includes(line));
  writeFileSync(path('list.txt'), kept.join('\n'));
  const said = done(await forget('full', ...data, '--importance', 'batch', '--label-free'));
  expect(said.class).toBeNull();
  expect(said.images).toBe(kept.length);
  expect([said.importance, said.pass, said.labelFree]).toEqual(['batch', 16, true]);
});

it('factored weights forget by their factors', async () => {
  const name = copyOf('lora', 'factors');
  const earlier = contents(name);
  const ended = await run('forget', name, '--class', 'red', '--threads', '1');
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stdout).toContain('of factored weights, of their factors');
  const evaluated = await run('eval', name, 'photos', '--json', '--threads', '1');
  expect(evaluated.code, evaluated.stderr).toBe(0);
  expect((await forget(name, '--undo')).code).toBe(0);
  expect(contents(name)).toEqual(earlier);
});

describe('errors', () => {
  it.each([
    [2, ['full'], '--class, --files: expected what to forget, or --undo, got neither'],
    [2, ['full', '--undo', '--class', 'red'], 'expected what to forget, or --undo, got both'],
    [2, ['full', '--undo', '--dry-run'], '--undo: expected no --dry-run, got both'],
    [2, ['full', '--undo'], '--undo of full: expected a run that has forgotten something'],
    [2, ['full', '--class', 'red', '--budget', '0.1'], '--budget: expected --sweep, got none'],
    [2, ['full', '--class', 'rad', '--dry-run'], 'class: expected one of blue, green, red'],
    [1, ['photos', '--class', 'red'], 'run.json'],
    [1, ['full', '--class', 'red', '--data', 'nowhere'], 'nowhere'],
  ] as const)('%d for %j', async (code, args, text) => {
    const ended = await forget(...args);
    expect(lastLine(ended)['message'], ended.stdout).toContain(text);
    expect(ended.code).toBe(code);
    expect(existsSync(path(args[0], '.thimble-lock'))).toBe(false);
  });

  it('a run that another process has is not touched', async () => {
    const name = copyOf('full', 'locked');
    writeFileSync(path(name, '.thimble-lock'), 'another-machine 1');
    const ended = await forget(name, '--class', 'red');
    expect(lastLine(ended)['message']).toContain('locked: expected a folder into which no other');
    expect(ended.code).toBe(2);
  });
});

it('an interrupt leaves the run as it is', async () => {
  const name = copyOf('full', 'interrupted');
  const earlier = contents(name);
  const args = ['forget', name, '--class', 'red', '--threads', '1', '--json'];
  const ended = await thimble(args, folder, (line, interrupt) => {
    if (line.includes('"event":"data"')) interrupt();
  });
  expect(ended.code).toBe(130);
  expect(contents(name)).toEqual(earlier);
  expect(jsonLines(ended).some(({ event }) => event === 'done')).toBe(false);
});

function statBytes(name: string, file: string): number {
  return readFileSync(path(name, file)).length;
}
