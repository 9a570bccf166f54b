/**
 * What a run and its export make of photos of every proportion: the same, or it is said. Needs the compiled
 * command (npm run build).
 */
import { readSafetensors, writeSafetensors, type Preprocess } from '@thimble/core';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../src/run/record.js';
import { jsonLines, lastLine, thimble, writeClasses, type JsonLine } from './cli-command.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-export-pictures-'));
const path = (...parts: string[]) => join(folder, ...parts);
const SIZES = [
  [40, 40],
  [41, 30],
  [30, 43],
  [19, 19],
  [20, 19],
  [19, 21],
  [22, 19],
  [97, 61],
] as const;
const PHOTOS = SIZES.map(([width, height]) => `pictures/${String(width)}x${String(height)}.png`);

type Prediction = JsonLine & {
  readonly classes: readonly { readonly index: number; readonly probability: number }[];
};

async function done(...args: string[]): Promise<JsonLine> {
  const ended = await thimble([...args, '--threads', '1', '--json'], folder);
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  return lastLine(ended);
}

/** Probabilities of every class for each photo. */
async function answers(from: string): Promise<readonly (readonly number[])[]> {
  const args = ['predict', from, ...PHOTOS, '--top', '3', '--threads', '1', '--json'];
  const ended = await thimble(args, folder);
  expect(ended.code, ended.stdout + ended.stderr).toBe(0);
  const lines = jsonLines(ended).slice(0, -1) as readonly Prediction[];
  return lines.map(({ classes }) => {
    const ordered = [...classes].sort((a, b) => a.index - b.index);
    return ordered.map(({ probability }) => probability);
  });
}

function difference(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  const flat = b.flat();
  return Math.max(...a.flat().map((value, index) => Math.abs(value - flat[index])));
}

/** The run with another preprocessing in its record and its weights, as an earlier version wrote it. */
function withPreprocess(change: (preprocess: Preprocess) => object): void {
  const record = JSON.parse(readFileSync(path('run', 'run.json'), 'utf8')) as RunRecord;
  const preprocess = change(record.preprocess);
  // Earlier runs kept no hashes.
  const earlier = { ...record, preprocess, files: undefined };
  writeFileSync(path('run', 'run.json'), JSON.stringify(earlier));
  rmSync(path('run', 'SHA256SUMS'), { force: true });
  const { metadata, tensors } = readSafetensors(readFileSync(path('run', 'model.safetensors')));
  const changed = new Map([...metadata, ['preprocess', JSON.stringify(preprocess)]]);
  const sources = [...tensors.values()];
  writeFileSync(path('run', 'model.safetensors'), writeSafetensors(sources, changed));
}

beforeAll(async () => {
  await writeClasses(path('photos'), ['blue', 'green', 'red'], 6);
  mkdirSync(path('pictures'));
  for (const [index, [width, height]] of SIZES.entries()) {
    const data = Uint8Array.from(
      { length: 3 * width * height },
      (_, i) => 128 + 127 * Math.sin((i * (index + 3)) / 17),
    );
    await sharp(data, { raw: { width, height, channels: 3 } }).toFile(path(PHOTOS[index]));
  }
  // 16 of 19 px: the rest is odd.
  const recipe = { crop_pct: 0.84, mean: [0.5, 0.5, 0.5], std: [0.1, 0.1, 0.1] };
  writeFileSync(path('timm.json'), JSON.stringify({ pretrained_cfg: recipe }));
  const args = ['--image-size', '16', '--batch', '6', '--lr', '0.01', '--epochs', '2'];
  await done('train', 'photos', ...args, '--preprocess', 'timm.json', '--out', 'run');
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('photos of every proportion', () => {
  it('have the same answers from a run and from its export', async () => {
    const { pictures } = await done('export', 'run', '--format', 'onnx,hf', '--out', 'new');
    expect(pictures).toEqual({ tried: 8, aside: 0 });
    expect(difference(await answers('run'), await answers('new'))).toBeLessThan(1e-6);
  });

  it('are a pixel aside in the export of an earlier run, which is said', async () => {
    const before = await answers('run');
    withPreprocess((preprocess) => ({ ...preprocess, offset: undefined }));
    expect(difference(await answers('run'), before)).toBeGreaterThan(1e-3);
    const { pictures } = await done('export', 'run', '--format', 'onnx,hf', '--out', 'old');
    expect(pictures).toMatchObject({ tried: 8, aside: 8, images: 8 });
    const { stdout } = await thimble(['export', 'run', '--out', 'said', '--threads', '1'], folder);
    expect(stdout).toMatch(
      /\npreprocessor_config\.json cuts 8 of 8 test pictures a pixel aside \(max \|Δlogit\| \d\.\de[-+]\d, the same class for \d of 8\)\.\nIt has no word for how half a pixel is rounded: its readers round down, this model to the even\nside\. What thimble train makes now rounds down too\.\n$/,
    );
    const hf = ['export', 'run', '--format', 'hf', '--out', 'unchecked'];
    expect((await thimble(hf, folder)).stdout).toContain(
      '\npreprocessor_config.json cuts 8 of 8 test pictures a pixel aside.\n',
    );
    const own = ['export', 'run', '--format', 'safetensors', '--out', 'own'];
    expect((await thimble(own, folder)).stdout).not.toContain('aside');
    expect(difference(await answers('run'), await answers('own/thimble.safetensors'))).toBe(0);
  });
});
