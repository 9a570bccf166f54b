/** The table of forgetting against training anew. */
import { expect, it } from 'vitest';
import type { Case } from '../forget/store.js';
import { forgetText } from '../forget/table.js';

const scores = (retained: number, forgotten: number, attacked: number | null) => ({
  ...{ retainedAccuracy: retained, forgottenAccuracy: forgotten, attackedAccuracy: attacked },
});

const CASE: Case = {
  ...{ data: 'flowers', forgotten: 'rose', epochs: 4, seed: 0, trainingSeconds: 61.2 },
  ways: {
    automatic: {
      ...{ before: scores(0.91, 0.95, 0.8), after: scores(0.9, 0, 0.05) },
      ...{ alpha: 3.25, share: 0.0301, seconds: 20.04, images: 88 },
    },
  },
  retrained: { scores: scores(0.92, 0, null), seconds: 50 },
};

it('has a row for each model, the original first and the retrained last', () => {
  const text = forgetText({ cases: [CASE], init: 'vit.safetensors' });
  expect(text.split('\n').slice(0, 7)).toEqual([
    '## flowers: vit.safetensors, 4 epochs',
    '',
    '| forgotten class | model     | retained | forgotten | attacked | seconds | dampened |    α |',
    '| --------------- | --------- | -------: | --------: | -------: | ------: | -------: | ---: |',
    '| rose            | original  |   91.0 % |    95.0 % |   80.0 % |    61.2 |          |      |',
    '| rose            | automatic |   90.0 % |     0.0 % |    5.0 % |    20.0 |    3.0 % | 3.25 |',
    '| rose            | retrained |   92.0 % |     0.0 % |          |    50.0 |          |      |',
  ]);
});

it('leaves out what was not measured yet', () => {
  const text = forgetText({ cases: [{ ...CASE, ways: {}, retrained: null }] });
  expect(text).not.toContain('| rose');
});
