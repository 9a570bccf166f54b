/** product_change: exact where the factors hardly move, the same bits for any number of threads. */
import { describe, expect, it } from 'vitest';
import type { ExecutorKind } from '../src/executors/executor.js';
import { f32 } from '../src/ir/types.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { productChange } from '../src/ops/product-change.js';
import { plan } from '../src/plan/plan.js';
import { Random } from '../src/random.js';
import { FAST_EXECUTORS } from './executors.js';
import { runReference } from './ops-evaluate.js';

const [O, I, R] = [37, 53, 3];
const TYPES = {
  param: f32(O, I),
  u: f32(R, O),
  v: f32(R, I),
  uNext: f32(R, O),
  vNext: f32(R, I),
  lr: f32(),
};

/** Factors of order 1 that move by 1e-4, as in a step of Adam. */
function contents(): Record<keyof typeof TYPES, Float64Array> {
  const random = Random.of(3, 'product change');
  const normal = (count: number) => random.fillNormal(new Float32Array(count));
  const moved = (from: Float32Array) => from.map((x) => x + 1e-4 * random.normal());
  const [u, v] = [normal(R * O), normal(R * I)];
  const all = { param: new Float32Array(O * I), u, v, uNext: moved(u), vNext: moved(v) };
  const floats = { ...all, lr: Float32Array.of(0.1) };
  const doubles = Object.entries(floats).map(([key, data]) => [key, Float64Array.from(data)]);
  return Object.fromEntries(doubles) as Record<keyof typeof TYPES, Float64Array>;
}

async function changed(kind: ExecutorKind, threads: number): Promise<readonly number[]> {
  const builder = new GraphBuilder();
  const { param: type, ...rest } = TYPES;
  const param = builder.state('param', type);
  const entries = Object.entries(rest).map(([key, each]) => [key, builder.input(key, each)]);
  const inputs = Object.fromEntries(entries) as Record<keyof typeof rest, typeof param>;
  builder.emit(productChange, { param, ...inputs }, { weightDecay: 0 });
  const program = plan([{ name: 'step', graph: builder.build({}) }]);
  const executor = await kind.load(program, { threads });
  for (const [key, data] of Object.entries(contents())) {
    if (key !== 'param') executor.write(`step.${key}`, data);
  }
  await executor.run('step');
  const data = await executor.read('param');
  await executor.dispose();
  return Array.from(data);
}

/** Σ u'v' − uv in float64, straight from the formula. */
function expected(): readonly number[] {
  const { u, v, uNext, vNext } = contents();
  return Array.from({ length: O * I }, (_, at) => {
    const [o, i] = [Math.floor(at / I), at % I];
    let sum = 0;
    for (let k = 0; k < R; k++) {
      sum += uNext[k * O + o] * vNext[k * I + i] - u[k * O + o] * v[k * I + i];
    }
    return sum;
  });
}

it('is the change of the product', () => {
  const { paramOut } = runReference(productChange, contents(), TYPES, { weightDecay: 0 });
  const want = expected();
  // Of products of order 1 only their difference of 1e-4 is left.
  paramOut.forEach((x, i) => expect(Math.abs(x - want[i])).toBeLessThan(1e-14));
});

describe.each(FAST_EXECUTORS)('$name', (kind) => {
  it('loses nothing to cancellation, and has the same bits for any number of threads', async () => {
    const got = await changed(kind, 1);
    const want = expected();
    // In float32 the difference of two products of order 1 would be off by 1e-7: a share of 1e-3.
    got.forEach((x, i) => expect(Math.abs(x - want[i])).toBeLessThan(2e-10));
    for (const threads of [2, 4]) expect(await changed(kind, threads)).toEqual(got);
  });
});
