/**
 * Tries readers on many damaged inputs:
 *
 *   npm run fuzz -- --cases 100000 --seed 2 --target run.json
 *
 * Prints how many were read and refused; fails where one was read wrongly, took too long or ended in an error
 * that is not Thimble's.
 */
import { parseArgs } from 'node:util';
import { startVitest } from 'vitest/node';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
  },
});
const fuzz = {
  cases: Number(values.cases),
  seed: Number(values.seed),
  target: values.target ?? null,
};
const vitest = await startVitest('test', ['fuzz/'], { run: true, watch: false, provide: { fuzz } });
await vitest.close();
