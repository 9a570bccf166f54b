/** The explained variance of weights where it is not said goes by how many photos there are. */
import { parseMethod } from '@thimble/core';
import { expect, it } from 'vitest';
import { FEW_PHOTOS, varianceNote, withUsualVariance } from '../src/training/explained-variance.js';

const text = (method: string, photos: number) =>
  withUsualVariance(parseMethod(method), photos).text;

it('is 0.9 for few photos, of the inputs that go with the weights as well', () => {
  const few = FEW_PHOTOS - 1;
  expect(text('wasi', few)).toBe('wasi=0.9,layers=all,truncation=data,activations=0.9');
  expect(text('wsi', few)).toBe('wsi=0.9,layers=all,truncation=data');
  expect(text('wasi', FEW_PHOTOS)).toBe(parseMethod('wasi').text);
});

it('stays what was said', () => {
  for (const method of ['wasi=0.8', 'wsi=0.6,layers=mlp', 'asi', 'full', 'lora']) {
    expect(text(method, 10), method).toBe(parseMethod(method).text);
  }
  expect(text('wasi=activations=0.5', 10)).toContain('wasi=0.9,');
  expect(text('wasi=activations=0.5', 10)).toContain('activations=0.5');
});

it('reads back as it was chosen', () => {
  const chosen = text('last-k=2+wasi', 10);
  expect(chosen).toContain('wasi=0.9');
  expect(parseMethod(chosen).text).toBe(chosen);
});

it('is said where there are no photos to count', () => {
  expect(varianceNote(parseMethod('wsi'))).toBe(
    'this is wsi=0.8,layers=all,truncation=data; with fewer than 500 photos train takes 0.9: ' +
      'write that to see it',
  );
  expect(varianceNote(parseMethod('wasi=0.8'))).toBeNull();
  expect(varianceNote(parseMethod('full'))).toBeNull();
});
