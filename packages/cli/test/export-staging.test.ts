/** Files of an export arrive together or not at all. */
import {
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
import { afterAll, describe, expect, it } from 'vitest';
import { Staging } from '../src/export/staging.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-staging-'));
const path = (...parts: string[]) => join(folder, ...parts);
const text = (content: string) => [Buffer.from(content)];
const going = new AbortController().signal;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('Staging', () => {
  it('shows nothing before everything is there, then all of it', async () => {
    const staging = new Staging(path('new'));
    const written = await staging.write('onnx/model.onnx', [...text('ab'), ...text('c')], going);
    await staging.write('config.json', text('{}'), going);
    expect(written.bytes).toBe(3);
    expect(readFileSync(written.path, 'utf8')).toBe('abc');
    expect(existsSync(path('new', 'onnx', 'model.onnx'))).toBe(false);
    expect(existsSync(path('new', 'config.json'))).toBe(false);
    staging.commit();
    staging.discard();
    expect(readdirSync(path('new'), { recursive: true }).sort()).toEqual([
      'config.json',
      'onnx',
      join('onnx', 'model.onnx'),
    ]);
    expect(readFileSync(path('new', 'onnx', 'model.onnx'), 'utf8')).toBe('abc');
  });

  it('leaves an earlier export as it was when it is interrupted between two parts', async () => {
    mkdirSync(path('old'));
    writeFileSync(path('old', 'config.json'), 'before');
    const staging = new Staging(path('old'));
    await staging.write('config.json', text('after'), going);
    const interrupt = new AbortController();
    const parts = (function* () {
      yield Buffer.from('first');
      interrupt.abort();
      yield Buffer.from('second');
      throw new Error('asked for a part after the interruption');
    })();
    await expect(staging.write('onnx/model.onnx', parts, interrupt.signal)).rejects.toThrow(
      'abort',
    );
    staging.discard();
    expect(readdirSync(path('old'), { recursive: true })).toEqual(['config.json']);
    expect(readFileSync(path('old', 'config.json'), 'utf8')).toBe('before');
  });

  it('names the file that cannot be put in its place', async () => {
    mkdirSync(path('taken/config.json'), { recursive: true });
    const staging = new Staging(path('taken'));
    await staging.write('config.json', text('{}'), going);
    expect(() => {
      staging.commit();
    }).toThrow(
      `${path('taken', 'config.json')}: expected a file that can be replaced, got a folder`,
    );
    staging.discard();
    expect(readdirSync(path('taken'))).toEqual(['config.json']);
    writeFileSync(path('file'), '');
    const below = new Staging(path('file'));
    await expect(below.write('a', text('a'), going)).rejects.toThrow(
      `${path('file')}: expected a folder that can be written to, got something`,
    );
    below.discard();
    expect(readFileSync(path('file'), 'utf8')).toBe('');
  });

  it('removes a folder that it has made and filled with nothing', async () => {
    const staging = new Staging(path('none'));
    await staging.write('onnx/model.onnx', text('abc'), going);
    staging.discard();
    expect(existsSync(path('none'))).toBe(false);
  });
});
