/** Signals in every phase of a command. Needs the compiled command (npm run build). */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLine, started, thimble, writeClasses, type Ended } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-signals-'));
const SMALL = ['--threads', '1', '--batch', '4', '--augment', 'none'];
const TRAIN = ['train', 'photos', '--model', 'vit-micro', ...SMALL, '--json'];
const LONG = [...TRAIN, '--init', 'random', '--image-size', '16', '--epochs', '5000'];

beforeAll(async () => {
  await writeClasses(join(folder, 'photos'), ['blue', 'red'], 10);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Sends `signals`, all at once, at the first line that says `when`. */
function interrupted(
  args: readonly string[],
  when: string,
  ...signals: NodeJS.Signals[]
): Promise<Ended> {
  return thimble(args, folder, (line, interrupt) => {
    if (line.includes(when)) signals.splice(0).forEach(interrupt);
  });
}

const recordOf = (run: string): unknown =>
  JSON.parse(readFileSync(join(folder, run, 'run.json'), 'utf8'));

describe('a signal while training', () => {
  it.each([
    ['SIGTERM', 143, 'SIGTERM: stopping after this step; another one to stop at once'],
    ['SIGHUP', 129, 'SIGHUP: stopping after this step; another one to stop at once'],
    ['SIGINT', 130, 'stopping after this step; Ctrl-C again to stop at once'],
  ] as const)('%s saves the weights and ends with %i', async (signal, code, said) => {
    const ended = await interrupted([...LONG, '--out', signal], '"event":"step"', signal);
    expect(ended.code).toBe(code);
    expect(ended.stderr).toBe(`thimble: ${said}\n`);
    expect(lastLine(ended)).toMatchObject({ event: 'interrupted', run: signal });
    expect(recordOf(signal)).toMatchObject({ status: 'interrupted' });
    expect(existsSync(join(folder, signal, 'model.safetensors'))).toBe(true);
  });

  it('says in words how to go on', async () => {
    const args = LONG.filter((arg) => arg !== '--json');
    const ended = await interrupted([...args, '--out', 'a run'], 'Epoch ', 'SIGINT');
    expect(ended.stdout).toMatch(
      /Interrupted after \d+ steps; the weights are saved in a run\.\n(?:.*\n)+To go on: thimble resume 'a run'\n$/,
    );
  });

  it('ends at once when it comes again', async () => {
    const args = [...LONG, '--out', 'twice'];
    const ended = await interrupted(args, '"event":"step"', 'SIGTERM', 'SIGHUP');
    expect(ended.code).toBe(null);
    expect(existsSync(join(folder, 'twice/model.safetensors'))).toBe(false);
  });
});

it('a signal before anything is written ends the command at once and leaves nothing', async () => {
  const args = [...TRAIN, '--method', 'wasi', '--out', 'never'];
  const ended = await interrupted(args, '"event":"prepare"', 'SIGTERM');
  expect(ended.code).toBe(null);
  expect(existsSync(join(folder, 'never'))).toBe(false);
});

it('a signal while exporting removes what was written so far', async () => {
  await thimble([...TRAIN, '--epochs', '1', '--out', 'run'], folder);
  const { child, ended } = started(['export', 'run', '--format', 'onnx,onnx-fp16'], folder);
  const beside = join(folder, 'run/export/onnx/model.onnx.unchecked');
  while (!existsSync(beside) && child.exitCode === null) await setTimeout(2);
  child.kill('SIGTERM');
  expect(await ended).toEqual({
    code: 143,
    stdout: '',
    stderr: 'thimble: SIGTERM: stopping, nothing is replaced; another one to stop at once\n',
  });
  expect(existsSync(join(folder, 'run/export'))).toBe(false);
});
