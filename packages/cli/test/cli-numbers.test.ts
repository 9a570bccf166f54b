/**
 * Weights that are no numbers, or lead to none, through the command: every reader refuses them and names the
 * tensor. Needs the compiled command (npm run build).
 */
import { readSafetensors, writeSafetensors } from '@thimble/core';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lastLine, thimble, writeClasses } from './cli-command.js';
import { hubFiles, writeFiles, type Files } from './tiny-models.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-numbers-'));
const CLASSES = ['blue', 'green', 'red'];
const path = (...parts: string[]) => join(folder, ...parts);
const THERE = ['--threads', '1', '--json'];

/** The files of a small model, some of whose numbers are others: `tensor` from element `from` on. */
function filesWith(tensor: string, from: number, value: number): Files {
  const files = hubFiles(CLASSES);
  const { tensors } = readSafetensors(files['model.safetensors']);
  const changed = [...tensors.values()].map((view) => {
    const { name, dtype, shape } = view;
    const data = view.toFloat32();
    return { name, dtype, shape, data: name === tensor ? data.fill(value, from) : data };
  });
  return { ...files, 'model.safetensors': Buffer.from(writeSafetensors(changed)) };
}

const KEY = 'vit.encoder.layer.1.attention.attention.key.weight';

beforeAll(async () => {
  await writeClasses(path('photos'), CLASSES, 4);
  writeFiles(path('sound'), hubFiles(CLASSES));
  writeFiles(path('damaged'), filesWith(KEY, 5, NaN));
  writeFiles(path('large'), filesWith('classifier.weight', 7, 3.4e38));
  writeFiles(path('beyond'), filesWith('vit.layernorm.weight', 0, 3e38));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function failure(...args: string[]): Promise<unknown> {
  const ended = await thimble([...args, ...THERE], folder);
  expect(ended.code, ended.stdout + ended.stderr).toBe(1);
  return lastLine(ended);
}

const TRAIN = ['--epochs', '1', '--batch', '4', '--lr', '0.001', '--workers', '0', '--out', 'run'];

describe('weights that are not finite', () => {
  it.each([
    ['predict', 'damaged', 'photos/red/0.png'],
    ['eval', 'damaged', 'photos'],
    ['export', 'damaged', '--out', 'exported', '--format', 'hf', '--no-check'],
    ['export', 'damaged', '--out', 'exported', '--format', 'onnx-int8'],
    ['train', 'photos', '--init', 'damaged', ...TRAIN],
    ['train', 'photos', '--init', 'damaged', '--method', 'wasi=0.8', ...TRAIN],
  ])('end %s', async (...args) => {
    expect(await failure(...args)).toMatchObject({
      name: 'CheckpointError',
      where: `damaged/model.safetensors, tensor ${KEY}`,
      expected: 'finite numbers',
      got: 'NaN at element 5',
    });
  });
});

describe('logits that are not finite', () => {
  it.each([
    ['predict', ['photos/red/0.png', 'photos/red/1.png'], 'photos/red/0.png'],
    ['eval', ['photos'], 'photos/blue/0.png'],
  ])('end %s, which names the picture', async (command, args, image) => {
    expect(await failure(command, 'beyond', ...args)).toMatchObject({
      name: 'NumericError',
      where: `logits of ${image}`,
      expected: 'finite numbers',
    });
  });
});

describe('weights that a dtype cannot hold', () => {
  it.each([
    ['hf', 'f16', 'tensor "classifier.weight"'],
    ['hf', 'bf16', 'tensor "classifier.weight"'],
    ['safetensors', 'f16', 'tensor "head.weight"'],
    ['safetensors', 'bf16', 'tensor "head.weight"'],
    ['onnx-fp16', 'f32', 'tensor head.weight.T'],
  ])('are refused by %s in %s, and nothing is left', async (format, dtype, where) => {
    const out = `${format}-${dtype}`;
    const args = ['--format', format, '--dtype', dtype, '--out', out, '--no-check'];
    expect(await failure('export', 'large', ...args)).toMatchObject({ name: 'FormatError', where });
    expect(existsSync(path(out))).toBe(false);
  });
});
