/** Runs that were ended in every way and go on. Needs the compiled command (npm run build). */
import { cosine } from '@thimble/core';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLine, started, thimble, writeClasses, type Ended } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-resume-'));
const at = (...names: string[]) => join(folder, ...names);
const EPOCHS = 3;
const TRAIN = [
  ...['train', 'photos', '--threads', '1', '--batch', '4', '--image-size', '16', '--json'],
  ...['--epochs', String(EPOCHS), '--val-fraction', '0.25', '--workers', '0'],
];
/** What has to be the same in the end. */
const WEIGHTS = ['model.safetensors', 'best.safetensors', 'state.safetensors'];

beforeAll(async () => {
  await writeClasses(at('photos'), ['blue', 'green', 'red'], 16);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const train = (run: string, ...more: string[]) =>
  thimble([...TRAIN, '--out', run, ...more], folder);
const resume = (run: string, ...more: string[]) =>
  thimble(['resume', run, '--threads', '1', '--json', ...more], folder);

function hashes(run: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    WEIGHTS.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(at(run, name)))
        .digest('hex'),
    ]),
  );
}

const recordOf = (run: string) => {
  return JSON.parse(readFileSync(at(run, 'run.json'), 'utf8')) as {
    readonly status: string;
    readonly epochs: number;
    readonly learningRate: number;
    readonly warmupSteps: number;
    readonly history: readonly { readonly step: number; readonly seconds: number }[];
    readonly files: Readonly<Record<string, string>>;
  };
};

/** The history without what no two runs share. */
const learned = (run: string) => recordOf(run).history.map((epoch) => ({ ...epoch, seconds: 0 }));

/** What log.jsonl says, times aside. */
function logged(run: string): readonly object[] {
  const lines = readFileSync(at(run, 'log.jsonl'), 'utf8').trim().split('\n');
  const none = { ms: 0, waitMs: 0, seconds: 0, waitSeconds: 0 };
  return lines.map((line) => ({ ...(JSON.parse(line) as object), ...none }));
}

/** Learning rates of all updates. */
function rates(run: string): readonly number[] {
  const lines = readFileSync(at(run, 'log.jsonl'), 'utf8').trim().split('\n');
  const events = lines.map((line) => JSON.parse(line) as { event: string; learningRate: number });
  return events.filter(({ event }) => event === 'step').map(({ learningRate }) => learningRate);
}

/** Resumes until the run is done, and compares it with one that was not interrupted. */
async function expectSame(run: string, whole: string): Promise<void> {
  const ended = await resume(run);
  expect(ended.stderr).toBe('');
  expect(ended.code).toBe(0);
  expect(hashes(run)).toEqual(hashes(whole));
  expect(learned(run)).toEqual(learned(whole));
  expect(logged(run)).toEqual(logged(whole));
  expect(recordOf(run).status).toBe('done');
  const names = readdirSync(at(run)).filter(
    (name) => name.startsWith('.') || name.endsWith('.tmp'),
  );
  expect(names).toEqual([]);
}

/** Ends a command by SIGKILL once it has said `when` so many times. */
async function killed(args: readonly string[], when: string, times: number): Promise<void> {
  const { child, ended } = started(args, folder);
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    if (said.split(when).length > times) child.kill('SIGKILL');
  });
  await ended;
}

describe.each([
  ['full', []],
  ['lora', ['--optimizer', 'adamw']],
  ['wasi', ['--micro-batches', '2', '--saved', 'smallest']],
  ['low-rank-gradient', []],
] as const)('a run of %s', (method, more) => {
  const args = [...TRAIN, '--method', method, ...more];

  it('goes on to the same bits wherever it was killed, and after Ctrl-C', async () => {
    const whole = `whole-${method}`;
    expect((await train(whole, '--method', method, ...more)).code).toBe(0);
    const steps = lastStep(whole);
    for (const [index, stop] of [1, Math.ceil(steps / 2), steps - 1].entries()) {
      const run = `killed-${method}-${String(index)}`;
      await killed([...args, '--out', run], '"event":"step"', stop);
      await expectSame(run, whole);
    }
    const run = `often-${method}`;
    let isAsked = false;
    const ended = await thimble([...args, '--out', run], folder, (line, interrupt) => {
      if (isAsked || !line.includes('"event":"step"')) return;
      isAsked = true;
      interrupt();
    });
    expect(ended.code).toBe(130);
    expect(recordOf(run).status).toBe('interrupted');
    await killed(
      ['resume', run, '--threads', '1', '--json', '--save-every', '1'],
      '"event":"step"',
      4,
    );
    await expectSame(run, whole);
  }, 300_000);
});

const message = (ended: Ended) => String(lastLine(ended)['message']);

function lastStep(run: string): number {
  return recordOf(run).history.at(-1)?.step ?? NaN;
}

describe('a run with --time', () => {
  const args = ['--method', 'wasi', '--micro-batches', '2', '--epochs', '8'];

  it('is saved where its time is used up, and goes on to the same bits', async () => {
    expect((await train('whole-time', ...args)).code).toBe(0);
    const cut = await train('timed', ...args, '--time', '0.05s');
    expect(cut.code).toBe(0);
    expect(lastLine(cut)).toMatchObject({ event: 'out-of-time', run: 'timed' });
    expect(recordOf('timed').status).toBe('interrupted');
    const { history, epochs } = recordOf('timed');
    expect(history.length).toBeLessThan(epochs);
    const again = await resume('timed', '--time', '0.05s');
    expect(lastLine(again)).toMatchObject({ event: 'out-of-time' });
    expect(lastLine(again)['steps']).toBeGreaterThan(Number(lastLine(cut)['steps']));
    await expectSame('timed', 'whole-time');
  }, 300_000);

  it('is done where its epochs end first', async () => {
    const ended = await train('in-time', '--time', '1h');
    expect(ended.code).toBe(0);
    expect(lastLine(ended)).toMatchObject({ event: 'done', epochs: EPOCHS });
  });

  it('says what a time looks like', async () => {
    const ended = await train('no-time', '--time', '10');
    expect(ended.code).toBe(2);
    expect(message(ended)).toContain('Expected a time as in 30s, 10m, 2h or 1h30m');
  });
});

describe('a kill while a run is saved', () => {
  const preload = fileURLToPath(new URL('./kill-at.js', import.meta.url));
  const keeping = ['--epochs', '2', '--keep-every', '1'];
  const ended = (run: string, point: string) =>
    thimble([...TRAIN, '--out', run, ...keeping], folder, undefined, {
      NODE_OPTIONS: `--import=${preload}`,
      THIMBLE_TEST_KILL: point,
    });
  const isSave = (line: string) => /^renameSync .*\.thimble-writing .*\.thimble-saved$/.test(line);

  it('leaves the save before or the one that was being made, at each change of the disk', async () => {
    expect((await train('whole-2', ...keeping)).code).toBe(0);
    await ended('logged', at('log'));
    const changes = readFileSync(at('log'), 'utf8').trim().split('\n');
    const [start, first, second, ...more] = changes.flatMap((line, index) =>
      isSave(line) ? [index] : [],
    );
    expect(more).toEqual([]); // at the end of the last epoch the run is done
    const from = (begin: number, end: number, step = 1) =>
      Array.from({ length: Math.ceil((end - begin) / step) }, (_, index) => begin + index * step);
    const isDropped = (line: string) => /^rmSync .*\.thimble-saved$/.test(line);
    const done = (save: number) => changes.findIndex((line, at) => at > save && isDropped(line));
    const points = [
      ...from(done(start) + 2, first, 12), // files and copies are written and synced
      ...from(first, done(first) + 2), // they take their places
      ...from(second, second + 8), // a copy takes the place of an earlier one
    ].map((index) => index + 1);
    expect(points.length).toBeGreaterThan(25);
    const kill = async () => {
      for (let point = points.pop(); point !== undefined; point = points.pop()) {
        const run = `saving-${String(point)}`;
        expect((await ended(run, `${at(`log-${run}`)}:${String(point)}`)).code).toBe(null);
        await expectSame(run, 'whole-2');
        for (const copy of ['epoch-1', 'epoch-2', 'best']) {
          const [kept, wanted] = [run, 'whole-2'].map((name) => join(name, 'checkpoints', copy));
          expect(hashes(kept)).toEqual(hashes(wanted));
          expect(learned(kept)).toEqual(learned(wanted));
        }
        expect(readdirSync(at(run, 'checkpoints')).sort()).toEqual(['best', 'epoch-1', 'epoch-2']);
      }
    };
    await Promise.all([kill(), kill()]);
  }, 900_000);
});

describe('a run that cannot go on', () => {
  beforeAll(async () => {
    await train('cut', '--epochs', '1');
  }, 60_000);

  it('says that it is done', async () => {
    const ended = await resume('cut');
    expect(ended.code).toBe(0);
    expect(lastLine(ended)).toMatchObject({ event: 'done', epochs: 1 });
  });

  it('may be made longer', async () => {
    cpSync(at('cut'), at('longer'), { recursive: true });
    expect((await resume('longer', '--epochs', '2')).code).toBe(0);
    expect(recordOf('longer').history).toHaveLength(2);
    const { learningRate: peak, warmupSteps, history } = recordOf('longer');
    const curve = (epochs: number) =>
      cosine({ peak, steps: (epochs * history[1].step) / 2, warmupSteps });
    expect(rates('longer')).toEqual(
      Array.from({ length: history[1].step }, (_, step) =>
        curve(step < history[0].step ? 1 : 2)(step),
      ),
    );
    const shorter = await resume('longer', '--epochs', '1');
    expect(shorter.code).toBe(2);
    expect(message(shorter)).toContain(
      '--epochs: expected at least the 2 epochs that are done, got 1',
    );
  });

  it('is refused with images that have changed, and goes on where told to', async () => {
    cpSync(at('cut'), at('moved'), { recursive: true });
    renameSync(at('photos'), at('elsewhere'));
    const gone = await resume('moved', '--epochs', '2');
    expect(gone.code).toBe(1);
    expect(message(gone)).toMatch(
      /expected the images in .*photos as they were .*, got 48 images gone/,
    );
    expect((await resume('moved', '--epochs', '2', '--data', 'elsewhere')).code).toBe(0);
    renameSync(at('elsewhere'), at('photos'));
    const [first] = readdirSync(at('photos/red'));
    const kept = readFileSync(at('photos/red', first));
    writeFileSync(at('photos/red', first), 'no image');
    const changed = await resume('moved', '--epochs', '3');
    expect(message(changed)).toContain('1 image changed');
    const forced = await resume('moved', '--epochs', '3', '--force');
    expect(forced.code).toBe(0);
    expect(forced.stderr).toContain('1 image changed');
    writeFileSync(at('photos/red', first), kept);
  });

  it.each([
    ['state.safetensors', 'expected the file with the SHA-256'],
    ['data.json', 'expected the file with the SHA-256'],
    ['run.json', 'expected'],
    ['SHA256SUMS', 'expected a SHA-256 and a name in each line', 100],
  ])('is refused with a damaged %s', async (name, said, length = 1000) => {
    cpSync(at('cut'), at('damaged'), { recursive: true });
    truncateSync(at('damaged', name), length);
    const before = readdirSync(at('damaged')).sort();
    const ended = await resume('damaged', '--epochs', '2');
    expect(ended.code).toBe(1);
    expect(message(ended)).toContain(`damaged/${name}`);
    expect(message(ended)).toContain(said);
    expect(readdirSync(at('damaged')).sort()).toEqual(before);
    rmSync(at('damaged'), { recursive: true });
  });

  it('is not evaluated with a record that is another now, unless that is meant', async () => {
    cpSync(at('cut'), at('edited'), { recursive: true });
    const text = readFileSync(at('edited/run.json'), 'utf8');
    writeFileSync(at('edited/run.json'), text.replace('"blue"', '"azure"'));
    const ended = await thimble(['info', 'edited', '--json'], folder);
    expect(message(ended)).toMatch(
      /edited\/run\.json: expected the file with the SHA-256 .* as SHA256SUMS says, got one with/,
    );
    rmSync(at('edited/SHA256SUMS'));
    expect(message(await thimble(['info', 'edited', '--json'], folder))).not.toContain('SHA-256');
  });

  it('is not evaluated with weights that are others now', async () => {
    cpSync(at('cut'), at('other'), { recursive: true });
    const weights = readFileSync(at('other/model.safetensors'));
    weights[weights.length - 3] ^= 1;
    writeFileSync(at('other/model.safetensors'), weights);
    const ended = await thimble(['eval', 'other', 'photos', '--json'], folder);
    expect(message(ended)).toMatch(/other\/model\.safetensors: expected the file with the SHA-256/);
  });

  it('is refused without a state, without a run, and while another process trains', async () => {
    cpSync(at('cut'), at('old'), { recursive: true });
    rmSync(at('old/state.safetensors'));
    expect(message(await resume('old', '--epochs', '2'))).toContain(
      'expected the state of a training run, got nothing at this path. Start a new run from its weights',
    );
    expect(message(await resume('nowhere'))).toContain('nowhere/run.json');
    const { child, ended } = started([...TRAIN, '--epochs', '5000', '--out', 'busy'], folder);
    while (!existsSync(at('busy/run.json'))) await setTimeout(10);
    expect(message(await resume('busy'))).toContain('a folder into which no other process trains');
    child.kill('SIGKILL');
    await ended;
  });
});

it('a run that was to replace another goes on beside it until its first epoch is done', async () => {
  await train('replaced', '--epochs', '1', '--seed', '5');
  const before = hashes('replaced');
  const anew = [...TRAIN, '--out', 'replaced', '--force'];
  await killed(anew, '"event":"step"', 1);
  expect(hashes('replaced')).toEqual(before);
  await train('whole-anew');
  await expectSame('replaced', 'whole-anew');
});
