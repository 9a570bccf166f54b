/** Profile rows: all of the time and the work of a step, twice. */
import { expect, it } from 'vitest';
import { compile } from '../src/compile.js';
import { buildModel, modelConfig } from '../src/models/index.js';
import { sgd } from '../src/optim/sgd.js';
import { stepFlops } from '../src/plan/report.js';
import { profileRows, type ProfileRow } from '../src/report/profile.js';

const config = { ...modelConfig('vit-micro'), imageSize: 16, classes: 3 };
const model = (batch: number) => buildModel(config, { batch });

it('has all of the time and work of a step, by op and by shape', () => {
  const program = compile({ model, optimizer: sgd(), batch: 2, microBatches: 4, evalBatch: 0 });
  const entries = program.entries.map((entry) => ({
    entry,
    ms: entry.steps.map((_, index) => 1 + (index % 7)),
    times: entry.name === 'micro' ? 4 : 1,
  }));
  const { byOp, byShape } = profileRows(program, entries);
  const sum = (rows: readonly ProfileRow[], key: 'calls' | 'ms' | 'flops' | 'bytes') =>
    rows.reduce((total, row) => total + row[key], 0);
  for (const key of ['calls', 'ms', 'flops', 'bytes'] as const) {
    expect(sum(byShape, key)).toBe(sum(byOp, key));
  }
  expect(sum(byOp, 'flops')).toBe(stepFlops(program));
  const sorted = byShape.map(({ ms }) => ms);
  expect(sorted).toEqual([...sorted].sort((a, b) => b - a));
  const mlp = byShape.find(({ name }) => name.includes('bias gelu'));
  expect(mlp).toMatchObject({
    name: expect.stringMatching(/^matmul NT 2×\d+×\d+ · \d+×\d+ bias gelu$/) as string,
  });
  // A view moves nothing and is no row.
  expect(byOp.map(({ name }) => name)).not.toContain('reshape');
});
