/** The learning rate where none is given goes by what trains, whatever the method is called. */
import { buildModel, parseMethod } from '@thimble/core';
import { expect, it } from 'vitest';
import { defaultLearningRate } from '../src/training/learning-rate.js';
import { TINY } from './tiny-models.js';

const rate = (method: string, isRandom: boolean, optimizer = 'sgd') =>
  defaultLearningRate(
    optimizer,
    parseMethod(method).forward(buildModel(TINY, { batch: 1 })),
    isRandom,
  );

it('is lower where pretrained blocks train', () => {
  const gentle = ['full', 'last-k=1', 'bias-only', 'lora=2', 'wasi'];
  for (const method of gentle) expect(rate(method, false), method).toBe(1e-3);
  expect(rate('full', false, 'adamw')).toBe(1e-4);
});

it('is the usual one where the classifier trains alone, and from random weights', () => {
  expect([rate('head', false), rate('head', false, 'adamw')]).toEqual([1e-2, 1e-3]);
  expect([rate('full', true), rate('full', true, 'adamw')]).toEqual([1e-2, 1e-3]);
});
