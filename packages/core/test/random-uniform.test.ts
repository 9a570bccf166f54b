/** random_uniform: known answers, the same bits everywhere, and numbers that look random. */
import { describe, expect, it } from 'vitest';
import type { ExecutorKind } from '../src/executors/executor.js';
import { f32, i32 } from '../src/ir/types.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { randomUniform, type RandomUniformParams } from '../src/ops/random-uniform.js';
import { plan } from '../src/plan/plan.js';
import { EXECUTORS } from './executors.js';
import { referenceExecutor } from '../src/executors/reference/index.js';

const COUNT = 5003;

async function drawn(
  kind: ExecutorKind,
  { seed = 0, count = 0, threads = 2, ...params }: Partial<Drawing> = {},
): Promise<readonly number[]> {
  const builder = new GraphBuilder();
  const x = builder.state('x', f32(COUNT));
  const inputs = { x, seed: builder.input('seed', i32()), count: builder.input('count', i32()) };
  builder.emit(randomUniform, inputs, { bound: 1, salt: 0, ...params });
  const program = plan([{ name: 'draw', graph: builder.build({}) }]);
  const executor = await kind.load(program, { threads });
  executor.write('draw.seed', Int32Array.of(seed));
  executor.write('draw.count', Int32Array.of(count));
  await executor.run('draw');
  const data = await executor.read('x');
  await executor.dispose();
  return Array.from(data);
}

interface Drawing extends RandomUniformParams {
  readonly seed: number;
  readonly count: number;
  readonly threads: number;
}

it('draws the words of Philox', async () => {
  // Random123's tests/kat_vectors, "philox4x32 10" with counter and key of zeros.
  const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
  const expected = words.map((word) => (2 * (word >>> 8) + 1) / 2 ** 24 - 1);
  expect((await drawn(referenceExecutor)).slice(0, 4)).toEqual(expected);
});

describe.each(EXECUTORS)('$name', (kind) => {
  it.each([1, 2, 4])('has the bits of the reference on %d threads', async (threads) => {
    const drawing = { seed: -5, count: 123456, salt: 2147483647, bound: 0.3 };
    const got = await drawn(kind, { ...drawing, threads });
    expect(got).toEqual(await drawn(referenceExecutor, drawing));
  });
});

it('draws other numbers for another seed, count or salt', async () => {
  const all = await Promise.all(
    [{}, { seed: 1 }, { count: 1 }, { salt: 1 }].map((drawing) =>
      drawn(referenceExecutor, drawing),
    ),
  );
  expect(new Set(all.flat()).size).toBeGreaterThan(0.999 * 4 * COUNT);
});

it('is uniform within its bound: mean 0, variance bound²/3, no neighbour like the next', async () => {
  const bound = 2;
  const x = await drawn(referenceExecutor, { seed: 42, bound });
  const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
  // Four standard deviations of each statistic.
  const within = (share: number) => (4 * share * bound ** 2) / Math.sqrt(COUNT);
  expect(Math.max(...x.map(Math.abs))).toBeLessThan(bound);
  expect(Math.abs(mean(x))).toBeLessThan((4 * bound) / Math.sqrt(3 * COUNT));
  expect(Math.abs(mean(x.map((v) => v * v)) - bound ** 2 / 3)).toBeLessThan(within(0.3));
  expect(Math.abs(mean(x.slice(1).map((v, i) => v * x[i])))).toBeLessThan(within(1 / 3));
});
