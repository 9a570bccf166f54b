/** Output that nobody reads or that no device takes, and readers that are slow. Needs npm run build. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caughtUp, watchTerminals } from '../src/terminal/streams.js';
import { jsonLine } from '../src/terminal/terminal.js';
import { thimble, unread, writeClasses } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-streams-'));
const TRAIN = [
  ...['train', 'photos', '--init', 'random', '--model', 'vit-micro', '--image-size', '16'],
  ...['--threads', '1', '--batch', '4', '--epochs', '2', '--augment', 'none'],
];

beforeAll(async () => {
  await writeClasses(join(folder, 'photos'), ['blue', 'red'], 5);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const statusOf = (run: string): unknown =>
  JSON.parse(readFileSync(join(folder, run, 'run.json'), 'utf8'));
const DONE = { status: 'done', history: [{ epoch: 1 }, { epoch: 2 }] };
const HAS_FULL = existsSync('/dev/full');

describe('a command that nobody reads', () => {
  it.each([['--json'], []])('trains on and keeps its weights (%s)', async (...json) => {
    const ended = await unread([...TRAIN, '--out', 'piped', '--force', ...json], folder, 'closed');
    expect(ended.stderr).toBe('thimble: nobody reads the output any more; going on without it\n');
    expect(ended.code).toBe(0);
    expect(statusOf('piped')).toMatchObject(DONE);
    expect(existsSync(join(folder, 'piped/model.safetensors'))).toBe(true);
  });

  it.each([
    ['plan', 'vit-micro', '--batch', '1'],
    ['plan', 'vit-micro', '--batch', '1', '--json'],
    ['train', '--help'],
  ])('ends as SIGPIPE would where its output is all there is: %s %s', async (...args) => {
    expect(await unread(args, folder, 'closed')).toEqual({ code: 141, stderr: '' });
  });
});

describe.skipIf(!HAS_FULL)('a command whose output no device takes', () => {
  const FULL = 'thimble: stdout: expected a device that takes what is printed, got a full disk. ';

  it('says so in one line and fails, training on where it trains', async () => {
    const ended = await unread([...TRAIN, '--out', 'full'], folder, '/dev/full');
    expect(ended.stderr).toBe(
      `${FULL}Free some room, or choose another disk; going on without it.\n`,
    );
    expect(ended.code).toBe(1);
    expect(statusOf('full')).toMatchObject(DONE);
    const plan = await unread(['plan', 'vit-micro', '--batch', '1'], folder, '/dev/full');
    expect(plan).toEqual({ code: 1, stderr: `${FULL}Free some room, or choose another disk.\n` });
  });
});

it('a wrong command line is quoted as text, not written to the terminal', async () => {
  const { stderr, code } = await thimble(['tra\u001b[31min', 'photos'], folder);
  expect({ stderr, code }).toEqual({
    stderr: "error: unknown command 'tra\\x1b[31min'\n",
    code: 2,
  });
});

describe('a slow reader', () => {
  /** A stream whose reader has taken nothing yet. */
  function slow(): { readonly stream: Writable; readonly take: () => void } {
    const waiting: (() => void)[] = [];
    const stream = new Writable({
      write: (_chunk, _encoding, done) => {
        waiting.push(done);
      },
    });
    return { stream, take: () => waiting.splice(0).forEach((done) => done()) };
  }

  async function isSettled(promise: Promise<void>): Promise<boolean> {
    let settled = false;
    void promise.then(() => {
      settled = true;
    });
    for (let turn = 0; turn < 3; turn++) await setImmediate();
    return settled;
  }

  it('is waited for once much is written, and not before', async () => {
    const { stream, take } = slow();
    stream.write('x'.repeat(1e6));
    await caughtUp(undefined, stream);
    stream.write('x');
    const waiting = caughtUp(undefined, stream);
    expect(await isSettled(waiting)).toBe(false);
    take();
    take();
    await waiting;
    expect(stream.listenerCount('drain')).toBe(0);
  });

  it('is not waited for once it has gone, or the command is to stop', async () => {
    const gone = slow();
    gone.stream.on('error', () => undefined);
    gone.stream.write('x'.repeat(2e6));
    const left = caughtUp(undefined, gone.stream);
    gone.stream.destroy(new Error('EPIPE'));
    await left;
    const { stream } = slow();
    stream.write('x'.repeat(2e6));
    const controller = new AbortController();
    const stopped = caughtUp(controller.signal, stream);
    expect(await isSettled(stopped)).toBe(false);
    controller.abort();
    await stopped;
    await caughtUp(controller.signal, stream);
  });
});

it('a terminal that goes away is noticed, and no other stream', () => {
  const terminals = new Set([0, 2]);
  const isHungUp = watchTerminals((descriptor) => terminals.has(descriptor));
  expect(isHungUp()).toBe(false);
  terminals.add(1);
  expect(isHungUp()).toBe(false);
  terminals.delete(0);
  expect(isHungUp()).toBe(true);
});

describe('a line of JSON', () => {
  it('is one line for every reader, and says the same', () => {
    const value = { name: 'a\n\u001b[31m\u0085b\u2028c\u202e\u009b2Jd \ud800' };
    const line = jsonLine(value);
    expect(line).toBe('{"name":"a\\n\\u001b[31m\\u0085b\\u2028c\\u202e\\u009b2Jd \\ud800"}');
    expect(JSON.parse(line)).toEqual(value);
  });
});
