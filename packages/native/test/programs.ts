/**
 * Programs for the native tests, built and planned by core, and executors loaded with seeded
 * contents.
 */
import {
  f32,
  GraphBuilder,
  hostSlots,
  OPS,
  plan,
  Random,
  type Executor,
  type Program,
  type Value,
} from '@thimble/core';
import { native, type NativeLoadOptions } from '../src/index.js';

/** `count` products of square matrices, each reading the one before: y = a·a·…·a. */
export function products(size: number, count: number): Program {
  const builder = new GraphBuilder();
  const a = builder.input('a', f32(size, size));
  let y = a;
  for (let i = 0; i < count; i++) y = matmul(builder, y, a, false);
  return plan([{ name: 'go', graph: builder.build({ y }) }]);
}

/** `count` additions of one vector of a few floats to another: hardly any work between barriers. */
export function additions(count: number): Program {
  const builder = new GraphBuilder();
  const a = builder.input('a', f32(16));
  let y = a;
  for (let i = 0; i < count; i++) y = builder.emit(OPS.add, { a: y, b: a }, {}).y;
  return plan([{ name: 'go', graph: builder.build({ y }) }]);
}

/**
 * One transformer block on odd sizes, a constant, reductions over rows and over everything, and an
 * update of its first weight: every kind of work split that the kernels have.
 */
export function block(): Program {
  const [batch, tokens, width, heads] = [3, 19, 36, 3];
  const builder = new GraphBuilder();
  const weight = (name: string, ...shape: number[]) =>
    builder.parameter(name, f32(...shape), { initial: { kind: 'zeros' } });
  const x = builder.input('x', f32(batch, tokens, width));
  const gamma = builder.constant(f32(width), 1.5);
  const beta = weight('norm.bias', width);
  const qkvWeight = weight('qkv.weight', 3 * width, width);
  const normed = builder.emit(OPS.layernorm, { x, gamma, beta }, { eps: 1e-6 }).y;
  const qkv = matmul(builder, normed, qkvWeight, true);
  const mixed = builder.emit(OPS.attention, { qkv }, { heads }).y;
  const sum = builder.emit(OPS.add, { a: mixed, b: x }, {}).y;
  const y = builder.emit(OPS.gelu, { x: sum }, {}).y;
  const columns = builder.emit(OPS.sum_rows, { x: y }, { axes: 2 }).y;
  const norm = builder.emit(OPS.sum_squares, { x: y }, {}).y;
  const settings = { momentum: 0, nesterov: false, weightDecay: 0.1 };
  const lr = builder.input('lr', f32());
  const updated = builder.emit(OPS.sgd, { param: beta, grad: columns, lr }, settings).paramOut;
  return plan([{ name: 'go', graph: builder.build({ y, columns, norm, updated }) }]);
}

/** Loads a program and fills every tensor that the host may write before the run. */
export async function loaded(program: Program, options: NativeLoadOptions): Promise<Executor> {
  const executor = await native.load(program, options);
  for (const [name, index] of hostSlots(program)) {
    const slot = program.slots[index];
    if (slot.role !== 'input' && slot.role !== 'parameter') continue;
    const random = Random.of(7, name);
    const data = Float32Array.from({ length: slot.bytes / 4 }, () => random.uniform() / 8);
    executor.write(name, data);
  }
  return executor;
}

/** Contents of every tensor that the host can read after a run, which takes the inputs. */
export async function everything(executor: Executor): Promise<Record<string, readonly number[]>> {
  const result: Record<string, readonly number[]> = {};
  for (const [name, slot] of hostSlots(executor.program)) {
    if (executor.program.slots[slot].role === 'input') continue;
    result[name] = [...(await executor.read(name))];
  }
  return result;
}

function matmul(builder: GraphBuilder, a: Value, b: Value, transB: boolean): Value {
  const params = { transA: false, transB, batched: false, gelu: false };
  return builder.emit(OPS.matmul, { a, b }, params).y;
}
