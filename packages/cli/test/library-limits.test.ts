/** The numbers that the library's options may be. */
import { ConfigError } from '@thimble/core';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { bench, evaluate, forget, plan, predict, resume, train } from '@thimble/cli';
import { checkNumbers } from '../src/library/limits.js';

it.each([
  [{ epochs: 1, batch: 1, workers: 0, seed: 0, threads: 256 }],
  [{ lr: 1e-9, warmup: 0, weightDecay: 0, momentum: 0, smoothing: 0.5, valFraction: 0.2 }],
  [{ epochs: undefined, model: 'vit-micro', force: true, cache: false }],
])('takes %j', (options) => {
  expect(() => {
    checkNumbers(options);
  }).not.toThrow();
});

it.each([
  [{ epochs: -3 }, 'option epochs: expected a whole number ≥ 1 and ≤ 1000000, got -3'],
  [{ epochs: 2.5 }, 'got 2.5'],
  [{ batch: 0 }, 'option batch: expected a whole number ≥ 1'],
  [{ threads: 257 }, 'option threads: expected a whole number ≥ 1 and ≤ 256, got 257'],
  [{ seed: -1 }, 'option seed: expected a whole number ≥ 0, got -1'],
  [{ lr: 0 }, 'option lr: expected a number > 0, got 0'],
  [{ lr: NaN }, 'got NaN'],
  [{ warmup: Infinity }, 'got Infinity'],
  [{ momentum: 1 }, 'option momentum: expected a number from 0 to below 1, got 1'],
  [{ valFraction: 0 }, 'option valFraction: expected a number above 0 and below 1, got 0'],
  [{ saveEvery: '5' }, 'got a string'],
])('refuses %j', (options, expected) => {
  const check = () => {
    checkNumbers(options);
  };
  expect(check).toThrow(ConfigError);
  expect(check).toThrow(expected);
});

it.each([
  ['train', () => train({ data: 'nowhere', out: 'never-made', epochs: 0 })],
  ['resume', () => resume({ run: 'nowhere', saveEvery: 0 })],
  ['evaluate', () => evaluate({ run: 'nowhere', batch: 0 })],
  ['predict', () => predict({ run: 'nowhere', images: [], top: 0 })],
  ['plan', () => plan({ model: 'vit-micro', batch: 0 })],
  ['forget', () => forget({ run: 'nowhere', class: 'red', alpha: 0 })],
  ['bench', () => bench({ model: 'vit-micro', steps: 0 })],
])('%s checks its numbers before anything else', async (_, call) => {
  await expect(call()).rejects.toThrow('expected');
  await expect(call()).rejects.toThrow(ConfigError);
  expect(existsSync('never-made')).toBe(false);
});
