/**
 * Factored training through the command: ranks are prepared, kept with the run, continued, printed
 * and merged; what does not fit together is refused. Needs the compiled command (npm run build).
 */
import { readSafetensors } from '@thimble/core';
import { copyFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RanksFile } from '../src/run/ranks-file.js';
import { jsonLines, lastLine, thimble, writeClasses, type JsonLine } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-factored-'));
const CLASSES = ['blue', 'green', 'red'];
const TRAIN = [
  ...['--model', 'vit-micro', '--image-size', '16', '--threads', '1', '--workers', '0'],
  ...['--batch', '8', '--lr', '0.001', '--augment', 'none', '--val', 'held', '--epochs', '1'],
];

const run = (...args: string[]) => thimble(args, folder);
const train = (...args: string[]) => run('train', 'photos', ...TRAIN, ...args, '--json');
const path = (...parts: string[]) => join(folder, ...parts);
const named = (lines: readonly JsonLine[], name: string) =>
  lines.filter(({ event }) => event === name);

/** The lines of a run that started from dense weights with wsi. */
let lines: readonly JsonLine[] = [];

beforeAll(async () => {
  await writeClasses(path('photos'), CLASSES, 12);
  await writeClasses(path('held'), CLASSES, 4);
  const base = await train('--init', 'random', '--out', 'base');
  expect(base.code, base.stdout + base.stderr).toBe(0);
  const wsi = await train('--init', 'base', '--method', 'wsi=0.7,layers=mlp', '--out', 'wsi');
  expect(wsi.code, wsi.stdout + wsi.stderr).toBe(0);
  lines = jsonLines(wsi);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('train', () => {
  it('prepares with progress, says what was chosen and what it saves', () => {
    const stages = named(lines, 'prepare').map(({ stage }) => stage);
    expect(new Set(stages)).toEqual(new Set(['forward', 'measure', 'factor']));
    const [prepared] = named(lines, 'prepared');
    expect(prepared).toMatchObject({
      weights: { epsilon: 0.7, truncation: 'data' },
      activations: null,
    });
    const [comparison] = named(lines, 'comparison');
    const bytes = comparison as JsonLine & {
      full: { weightBytes: number };
      run: { weightBytes: number; peakBytes: number };
    };
    expect(bytes.run.weightBytes).toBeLessThan(bytes.full.weightBytes);
    expect(bytes.run.peakBytes).toBe(lines.at(-1)?.['arenaBytes']);
  });

  it('keeps ranks and tables with the run, factors and ranks in the checkpoint', () => {
    const record = JSON.parse(readFileSync(path('wsi/run.json'), 'utf8')) as RanksFile;
    const file = JSON.parse(readFileSync(path('wsi/ranks.json'), 'utf8')) as RanksFile;
    expect(record.method).toBe('wsi=0.7,layers=mlp,truncation=data');
    expect(file).toMatchObject({ method: record.method, ranks: record.ranks, pass: 8 });
    expect(file.tables?.weights?.layers).toHaveLength(12);
    const { tensors, metadata } = readSafetensors(readFileSync(path('wsi/model.safetensors')));
    const [[weight, rank]] = Object.entries(record.ranks.weights);
    expect(tensors.get(`${weight}.left`)?.shape[1]).toBe(rank);
    expect(tensors.get(`${weight}.right`)?.shape[0]).toBe(rank);
    expect(tensors.has(weight)).toBe(false);
    const stored: unknown = JSON.parse(metadata.get('thimble.factors') ?? 'null');
    expect(stored).toMatchObject({
      method: record.method,
      ranks: record.ranks,
      epsilon: { weights: 0.7, activations: null },
      forms: { [weight]: { form: 'low-rank', rank } },
    });
  });

  it('continues with the ranks of a run, named as a folder or as a file', async () => {
    const record = JSON.parse(readFileSync(path('wsi/run.json'), 'utf8')) as RanksFile;
    for (const init of [
      ['--init', 'wsi'],
      ['--init', 'wsi/best.safetensors', '--method', 'wsi'],
    ]) {
      const ended = await train(...init, '--out', 'more', '--force');
      expect(ended.code, ended.stdout).toBe(0);
      expect(named(jsonLines(ended), 'prepare')).toEqual([]);
      const more = JSON.parse(readFileSync(path('more/run.json'), 'utf8')) as RanksFile;
      expect(more).toMatchObject({ method: record.method, ranks: record.ranks });
    }
  });

  it('fills in the text of a method by options beside it, and finds other Tucker ranks for another pass', async () => {
    const asi = ['--method', 'asi', '--layers', 'all', '--out', 'asi'];
    expect((await train('--init', 'base', ...asi)).code).toBe(0);
    const first = JSON.parse(readFileSync(path('asi/ranks.json'), 'utf8')) as RanksFile;
    expect(first.method).toBe('asi=0.8,layers=all');
    const cut = await train('--init', 'asi', '--micro-batches', '2', '--out', 'cut');
    expect(cut.code, cut.stdout).toBe(0);
    const second = JSON.parse(readFileSync(path('cut/ranks.json'), 'utf8')) as RanksFile;
    expect(second).toMatchObject({ method: first.method, pass: 4 });
    expect(second.tables?.activations?.layers[0].shape[0]).toBe(4);
  });

  it('starts from random weights with typical ranks', async () => {
    const options = ['--init', 'random', '--method', 'asi+lora=4,layers=mlp'];
    const ended = await train(...options, '--out', 'scratch');
    expect(ended.code, ended.stdout).toBe(0);
    expect(named(jsonLines(ended), 'prepare')).toEqual([]);
    const file = JSON.parse(readFileSync(path('scratch/ranks.json'), 'utf8')) as RanksFile;
    expect(file.tables).toBeNull();
    expect(Object.keys(file.ranks.activations).length).toBeGreaterThan(0);
  });
});

describe('eval, ranks and merge', () => {
  it('evaluates from the factors', async () => {
    const ended = await run('eval', 'wsi', 'held', '--threads', '1', '--json');
    expect(ended.code).toBe(0);
    expect(lastLine(ended)['accuracy']).toBe(lines.at(-1)?.['accuracy']);
    expect(lastLine(ended)['loss']).toBeCloseTo(Number(lines.at(-1)?.['loss']), 5);
  });

  it('prints the ranks and what they were chosen from', async () => {
    const { stdout } = await run('ranks', 'wsi');
    expect(stdout).toMatch(/^wsi=0\.7,layers=mlp,truncation=data, micro-batches of 8\n/);
    expect(stdout).toMatch(/Weight +Outputs +Inputs +K +By ε +Bytes +Lost\n/);
    expect(stdout).toMatch(/blocks\.0\.mlp\.fc1\.weight +512 +128 +\d+ +\d+ +\d\.\d\d MB/);
    const asi = await run('ranks', 'asi');
    expect(asi.stdout).toMatch(/Input of +Shape +As is +Ranks +Bytes +Error +Options\n/);
    expect(asi.stdout).toMatch(
      /blocks\.0\.attn\.qkv\.weight +8×17×128 +0\.07 MB +\S+×\S+ +0\.\d\d MB +\d+\.\d % +\d+\n/,
    );
    expect((await run('ranks', 'base')).stderr).toContain(
      'base/ranks.json: expected the ranks of a run, got no file',
    );
  });

  it('merges into dense weights of the same logits that train further in full', async () => {
    const ended = await run('merge', 'wsi', '--threads', '1', '--json');
    expect(ended.code, ended.stdout).toBe(0);
    const done = lastLine(ended);
    expect(done).toMatchObject({ event: 'done', out: 'wsi/merged.safetensors' });
    expect(done['maxDifference']).toBeLessThan(1e-5 * Math.max(1, Number(done['maxLogit'])));
    const { tensors, metadata } = readSafetensors(readFileSync(path('wsi/merged.safetensors')));
    const base = readSafetensors(readFileSync(path('base/model.safetensors')));
    const shapes = (all: typeof tensors) => [...all].map(([name, { shape }]) => [name, shape]);
    expect(shapes(tensors)).toEqual(shapes(base.tensors));
    expect(metadata.has('thimble.factors')).toBe(false);
    const full = await train('--init', 'wsi/merged.safetensors', '--out', 'merged');
    expect(full.code, full.stdout).toBe(0);
    expect(named(jsonLines(full), 'start')).toMatchObject([{ method: 'full' }]);
  });

  it('merges adapters, and says so in words', async () => {
    const merged = await run('merge', 'scratch', '--threads', '1', '--out', 'lora.safetensors');
    expect(merged.stdout).toMatch(/^Merged 12 weights into lora\.safetensors, \d\.\d\d MB\n/);
    expect(merged.stdout).toMatch(/Logits on noise: max \|Δ\| \d\.\de-\d+ of at most \d/);
  });
});

describe('bad input', () => {
  it.each([
    ['wsi=0', 'method wsi: expected an explained variance in (0, 1], got "0"'],
    ['asi=1.2', 'method asi: expected an explained variance in (0, 1], got "1.2"'],
    ['wsi=0.8,layers=some', 'method wsi: expected layers=mlp or layers=all, got "some"'],
    ['wsi=0.8,truncation=fine', 'method wsi: expected truncation=data or truncation=plain'],
    ['wsi+asi+wsi', 'expected one method for the ranks of weights, got two, wsi=0.8'],
  ])('refuses --method %s', async (method, message) => {
    const ended = await train('--init', 'base', '--method', method, '--out', 'never');
    expect(ended.code).toBe(2);
    expect(lastLine(ended)['message']).toContain(message);
    expect(existsSync(path('never'))).toBe(false);
  });

  it.each([
    [['--method', 'wsi', '--layers', 'some'], 'expected layers=mlp or layers=all, got "some"'],
    [
      ['--method', 'wsi=0.8,layers=mlp', '--layers', 'all'],
      'method wsi: expected one value of layers, got mlp in its text and all beside it',
    ],
    [
      ['--method', 'head', '--layers', 'all'],
      'method head: expected no layers, which belongs to asi, hosvd, ',
    ],
    [['--method', 'asi', '--truncation', 'plain'], 'method asi: expected no truncation'],
  ])('refuses %j', async (args, message) => {
    const ended = await train('--init', 'base', ...args, '--out', 'never');
    expect(ended.code).toBe(2);
    expect(lastLine(ended)['message']).toContain(message);
  });

  it('refuses to change the ranks of a run that it starts from', async () => {
    const ended = await train('--init', 'wsi', '--method', 'wsi=0.5', '--out', 'never');
    expect(ended.code).toBe(2);
    expect(lastLine(ended)['message']).toBe(
      '--method wsi=0.5,layers=all,truncation=data: expected the ranks with which ' +
        'wsi/model.safetensors was trained (wsi=0.7,layers=mlp,truncation=data), got a value that ' +
        'changes them. Write --method wsi=0.7,layers=mlp,truncation=data, or start from dense ' +
        'weights: thimble merge makes them.',
    );
  });

  it('refuses factors for a dense model, and dense weights for factors', async () => {
    const dense = await train('--init', 'wsi', '--method', 'full', '--out', 'never');
    expect(dense.code).toBe(1);
    expect(lastLine(dense)['message']).toMatch(
      /^wsi\/model\.safetensors, tensor \S+: expected a dense weight, got factors of rank \d+/,
    );
    cpSync(path('wsi'), path('mixed'), { recursive: true });
    copyFileSync(path('base/model.safetensors'), path('mixed/model.safetensors'));
    const factors = await run('eval', 'mixed', 'held', '--json');
    expect(factors.code).toBe(1);
    expect(lastLine(factors)['message']).toMatch(
      /^mixed\/model\.safetensors, tensor \S+: expected factors of rank \d+, got a dense weight/,
    );
    expect(existsSync(path('never'))).toBe(false);
  });

  it('refuses ranks that the model or the file cannot have', async () => {
    const text = readFileSync(path('wsi/run.json'), 'utf8');
    const [weight, rank] = Object.entries((JSON.parse(text) as RanksFile).ranks.weights)[0];
    cpSync(path('wsi'), path('ranked'), { recursive: true });
    rmSync(path('ranked/SHA256SUMS'));
    const withRank = async (value: string) => {
      const changed = text.replace(`"${weight}": ${String(rank)}`, `"${weight}": ${value}`);
      writeFileSync(path('ranked/run.json'), changed);
      return lastLine(await run('eval', 'ranked', 'held', '--json'))['message'];
    };
    expect(await withRank('999')).toContain(
      `rank of ${weight}: expected a whole number from 1 to 128`,
    );
    expect(await withRank(String(rank - 1))).toContain(
      `tensor ${weight}: expected factors of rank ${String(rank - 1)}, got rank ${String(rank)}`,
    );
    expect(await withRank('0')).toContain(
      `ranked/run.json, ranks.weights.${weight}: expected a whole number from 1 to `,
    );
  });

  it('merges nothing that is dense, and over nothing', async () => {
    const dense = await run('merge', 'asi', '--json');
    expect(dense.code).toBe(2);
    expect(lastLine(dense)['message']).toContain(
      'asi: expected a run with factored weights (wasi, wsi or lora), got method asi=0.8',
    );
    const again = await run('merge', 'wsi', '--out', 'base/model.safetensors', '--json');
    expect(again.code).toBe(2);
    expect(lastLine(again)['message']).toBe(
      '--out base/model.safetensors: expected a new file, got an existing one. ' +
        'Choose another path, or --force to replace it.',
    );
  });
});
