/** Every example runs, says what it is to say, and nothing else is printed. Needs npm run build. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeClasses } from '../packages/cli/test/cli-command.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'thimble-examples-'));
const ran = new Set<string>();

beforeAll(async () => {
  await writeClasses(join(folder, 'photos'), ['blue', 'red'], 8);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The lines that an example prints; nothing else may be printed, by whomever. */
async function linesOf(name: string, ...args: readonly string[]): Promise<readonly string[]> {
  ran.add(name);
  const program = join(here, 'dist', `${name}.js`);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args], {
    cwd: folder,
  });
  expect(stderr).toBe('');
  return stdout.trimEnd().split('\n');
}

const recordOf = (run: string): unknown =>
  JSON.parse(readFileSync(join(folder, run, 'run.json'), 'utf8'));

it('trains, stops and goes on', { timeout: 120_000 }, async () => {
  const lines = await linesOf('train-and-resume', 'photos', 'run', '0');
  expect(lines.map((line) => line.replace(/\d+ bytes$|[01]\.\d\d$/, '…'))).toEqual([
    '9 updates, …',
    'interrupted after 1 updates',
    '9 updates, …',
    'epoch 1: accuracy …',
    'epoch 2: accuracy …',
    'epoch 3: accuracy …',
    'done after 9 updates',
  ]);
  expect(recordOf('run')).toMatchObject({ status: 'done', epochs: 3 });
});

it('measures and classifies', { timeout: 120_000 }, async () => {
  const images = ['photos/red/0.png', 'photos/blue/1.png', 'photos/none.png'];
  const lines = await linesOf('evaluate-and-predict', 'run', 'photos', ...images);
  expect(lines).toEqual([
    expect.stringMatching(/^accuracy [01]\.\d\d$/),
    'blue: 8 images',
    'red: 8 images',
    expect.stringMatching(/^photos\/red\/0\.png: (red|blue)$/),
    expect.stringMatching(/^photos\/blue\/1\.png: (red|blue)$/),
    'photos/none.png: not read',
  ]);
});

it('plans, and stops where a step fits', { timeout: 120_000 }, async () => {
  const lines = await linesOf('plan-before-training', 'vit-micro', '25');
  const bytes = lines.slice(0, -1).map((line) => Number(/ (\d+) bytes/.exec(line)?.[1]));
  expect(bytes.length).toBeGreaterThan(1);
  expect(bytes.slice(0, -1).every((each) => each > 25e6)).toBe(true);
  expect(bytes.at(-1)).toBeLessThanOrEqual(25e6);
  expect(lines.at(-1)).toContain(`microBatches: ${String(2 ** (bytes.length - 1))}`);
});

it('exports', { timeout: 120_000 }, async () => {
  const lines = await linesOf('export-model', 'run', 'exported');
  expect(lines[0]).toMatch(/^onnx\/model\.onnx: \d+ bytes/);
  expect(lines[1]).toMatch(/^thimble\.safetensors: \d+ bytes$/);
  expect(readdirSync(join(folder, 'exported'))).toContain('labels.txt');
});

it('trains on arrays', { timeout: 120_000 }, async () => {
  const text = (await linesOf('in-memory')).join('\n');
  expect(text).toMatch(/^\d+\n/);
  expect(text.match(/event: 'step'/g)).toHaveLength(20);
  const losses = [...text.matchAll(/event: 'epoch'[^}]*?loss: ([\d.e-]+)/g)].map(
    ([, loss]) => loss,
  );
  expect(losses).toHaveLength(5);
  expect(Number(losses[4])).toBeLessThan(Number(losses[0]));
});

it('goes on from a snapshot to the same bits', { timeout: 120_000 }, async () => {
  expect(await linesOf('sessions')).toEqual([
    'stopped after 3 updates, done after 8',
    'same bits: true',
  ]);
});

it('is tested, whatever is an example of a library', () => {
  const all = readdirSync(here).filter((name) => /^[\w-]+\.ts$/.test(name));
  expect([...ran].map((name) => `${name}.ts`).sort()).toEqual(all.sort());
});
