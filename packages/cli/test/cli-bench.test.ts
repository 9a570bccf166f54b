/** thimble bench: its JSON line, its tables, its errors. Needs the compiled command. */
import { describe, expect, it } from 'vitest';
import { tmpdir } from 'node:os';
import { quartiles } from '../src/bench/measure.js';
import { lastLine, thimble, type Ended } from './cli-command.js';

const SMALL = ['--image-size', '16', '--classes', '3', '--batch', '4', '--threads', '1'];
const bench = (...args: readonly string[]): Promise<Ended> =>
  thimble(['bench', ...args, '--steps', '3'], tmpdir());

describe('thimble bench', () => {
  it('says time, work and memory of a training step', async () => {
    const said = lastLine(await bench('vit-micro', ...SMALL, '--json'));
    expect(said).toMatchObject({
      ...{ event: 'bench', model: 'vit-micro', inference: false, method: 'full', saved: 'exact' },
      ...{
        optimizer: 'sgd',
        batch: 4,
        microBatches: 1,
        slices: 1,
        imageSize: 16,
        classes: 3,
        threads: 1,
      },
    });
    const { low, median, high } = said['msPerStep'] as Record<string, number>;
    expect(low).toBeGreaterThan(0);
    expect(median).toBeGreaterThanOrEqual(low);
    expect(high).toBeGreaterThanOrEqual(median);
    expect(said['imagesPerSecond']).toBeCloseTo(4000 / median, 6);
    expect(said['flopsPerSecond']).toBeCloseTo((1000 * Number(said['flopsPerStep'])) / median, 0);
    expect(said['arenaBytes']).toBe(said['plannedBytes']);
    expect(said['rssPeakBytes']).toBeGreaterThan(Number(said['plannedBytes']));
    expect(said['peakFlopsPerSecond']).toBeGreaterThan(1e7);
    expect(said['shareOfPeak']).toBeGreaterThan(0);
    expect(said).not.toHaveProperty('profile');
  });

  it('plans what thimble plan plans, method and passes included', async () => {
    const cut = ['--micro-batches', '2', '--slices', '2'];
    const step = [...SMALL, '--method', 'wasi', ...cut, '--json'];
    const said = lastLine(await bench('vit-micro', ...step));
    const plan = lastLine(await thimble(['plan', 'vit-micro', ...step], tmpdir()));
    expect(said['plannedBytes']).toBe(plan['peakBytes']);
    expect(said['flopsPerStep']).toBe(plan['flopsPerStep']);
  });

  it('profiles each op beside the peaks, with WebAssembly too', async () => {
    const wasm = ['--executor', 'wasm', '--profile'];
    const { profile } = lastLine(await bench('vit-micro', ...SMALL, ...wasm, '--json')) as {
      profile?: { rows: Record<string, { name: string; ms: number }[]>; peakCopy: number };
    };
    expect(profile?.peakCopy).toBeGreaterThan(1e6);
    expect(profile?.rows['byOp'].map(({ name }) => name)).toContain('matmul');
    const total = (rows: readonly { ms: number }[] = []) =>
      rows.reduce((sum, { ms }) => sum + ms, 0);
    expect(total(profile?.rows['byShape'])).toBeCloseTo(total(profile?.rows['byOp']), 6);
    const { stdout, code } = await bench(
      'vit-micro',
      ...SMALL,
      '--micro-batches',
      '2',
      '--profile',
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^vit-micro, full, saved exact, sgd, batch 4 in 2 micro-batches, 16 px, 3 cl/,
    );
    for (const text of [
      'Training step',
      'FLOP/s',
      'Memory, measured',
      'of copy',
      'measured peak',
    ]) {
      expect(stdout).toContain(text);
    }
  });

  it('measures a network with running statistics', async () => {
    const said = lastLine(await bench('resnet-20', '--batch', '16', '--json'));
    expect(said).toMatchObject({ event: 'bench', model: 'resnet-20', inference: false });
  });

  it('measures the forward pass alone', async () => {
    const said = lastLine(await bench('swin-micro', '--batch', '2', '--inference', '--json'));
    expect(said).toMatchObject({ event: 'bench', model: 'swin-micro', inference: true });
    expect(said).not.toHaveProperty('optimizer');
    const { stdout } = await bench('vit-micro', ...SMALL, '--inference', '--executor', 'reference');
    expect(stdout).toContain('Forward pass');
    expect(stdout).not.toContain('measured peak');
  });

  it('says what to do about what it cannot', async () => {
    const unknown = await bench('vit-micra');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('got "vit-micra". The nearest is "vit-micro".');
    const blind = await bench('vit-micro', ...SMALL, '--executor', 'reference', '--profile');
    expect(blind.code).toBe(2);
    expect(blind.stderr).toContain('Choose --executor native or wasm');
    const none = await thimble(['bench', '--steps', '0'], tmpdir());
    expect(none.code).toBe(2);
    expect(none.stderr).toContain('Expected a whole number ≥ 1');
  });
});

it('takes the medians of both halves as quartiles', () => {
  expect(quartiles([5])).toEqual({ median: 5, low: 5, high: 5 });
  expect(quartiles([4, 1, 3, 2])).toEqual({ median: 2.5, low: 1.5, high: 3.5 });
  expect(quartiles([5, 1, 3, 2, 4])).toEqual({ median: 3, low: 2, high: 4 });
});
