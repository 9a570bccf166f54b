/** Copies of a run that are kept while it is trained. Needs the compiled command (npm run build). */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLine, thimble, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-keep-'));
const at = (...names: string[]) => join(folder, ...names);
const TRAIN = [
  ...['train', 'photos', '--threads', '1', '--batch', '4', '--image-size', '16', '--json'],
  ...['--epochs', '4', '--keep-every', '2', '--val-fraction', '0.25', '--optimizer', 'adamw'],
];

beforeAll(async () => {
  await writeClasses(at('photos'), ['blue', 'green', 'red'], 16);
  const ended = await thimble([...TRAIN, '--out', 'run'], folder);
  expect(ended.stderr).toBe('');
  expect(ended.code).toBe(0);
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const command = (...args: string[]) => thimble([...args, '--json'], folder);
const bytes = (...names: string[]) => readFileSync(at(...names));

describe('a copy that was kept', () => {
  it('goes on to the end of the run, bit for bit, and leaves the run alone', async () => {
    const before = bytes('run/run.json');
    cpSync(at('run/checkpoints/epoch-2'), at('again'), { recursive: true });
    expect((await command('resume', 'again', '--threads', '1')).code).toBe(0);
    for (const name of ['model.safetensors', 'best.safetensors', 'state.safetensors']) {
      expect(bytes('again', name).equals(bytes('run', name)), name).toBe(true);
    }
    expect(readdirSync(at('again/checkpoints')).sort()).toContain('epoch-4');
    expect(bytes('run/run.json').equals(before)).toBe(true);
  });

  it('is evaluated, exported and started from as any run', async () => {
    const copy = 'run/checkpoints/epoch-2';
    const accuracy = async (...which: string[]) => {
      const ended = await command('eval', ...which, 'photos');
      expect(ended.code).toBe(0);
      return lastLine(ended)['loss'];
    };
    expect(await accuracy(copy)).not.toBe(await accuracy('run'));
    expect(await accuracy('run/checkpoints/best')).toBe(await accuracy('run', '--best'));
    expect((await command('export', copy, '--out', 'exported')).code).toBe(0);
    expect((await command(...TRAIN, '--init', copy, '--out', 'next')).code).toBe(0);
  }, 60_000);

  it('stays where the run forgets, which says that it still knows', async () => {
    cpSync(at('run'), at('forgetful'), { recursive: true });
    const ended = await command('forget', 'forgetful', '--class', 'red');
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain('checkpoints in forgetful still know what was forgotten');
    const model = 'checkpoints/epoch-2/model.safetensors';
    expect(bytes('forgetful', model).equals(bytes('run', model))).toBe(true);
    expect((await command('eval', 'forgetful/checkpoints/epoch-2', 'photos')).code).toBe(0);
    expect((await command('eval', 'forgetful', 'photos')).code).toBe(0);
  }, 60_000);
});
