/** The executors that run the kernels, in their variants and thread counts, with their limits. */
import {
  hostSlots,
  elements,
  Random,
  referenceExecutor,
  wasmExecutor,
  wasmVariants,
  type Executor,
  type HostData,
  type PeakMeter,
  type Program,
} from '@thimble/core';
import { native, nativeVariants } from '@thimble/native';
import { kernelProgram, type KernelCase } from './cases.js';

/** One column of the table. */
export interface KernelContestant {
  /** `native avx512` or `wasm simd128`. */
  readonly name: string;
  readonly threads: number;
  readonly peak: PeakMeter;
  readonly load: (program: Program) => Promise<Executor>;
}

/** One thread of every variant, and `threads` threads of the fastest native one and of wasm. */
export async function kernelContestants(threads: number): Promise<readonly KernelContestant[]> {
  const result: KernelContestant[] = [];
  for (const variant of nativeVariants()) {
    const counts = result.length === 0 && threads > 1 ? [1, threads] : [1];
    for (const count of counts) {
      const peak = await native.peaks({ threads: count, variant });
      const load = (program: Program) => native.load(program, { threads: count, variant });
      result.push({ name: `native ${variant}`, threads: count, peak, load });
    }
  }
  const variants = await wasmVariants();
  for (const variant of variants) {
    for (const count of variant === variants[0] && threads > 1 ? [1, threads] : [1]) {
      const peak = await wasmExecutor.peaks({ threads: count, variant });
      const load = (program: Program) => wasmExecutor.load(program, { threads: count, variant });
      result.push({ name: `wasm ${variant}`, threads: count, peak, load });
    }
  }
  return result;
}

/** The case's inputs by their names in the program, the same for every executor. */
export function inputsOf({ inputs, name }: KernelCase): ReadonlyMap<string, HostData> {
  return new Map(
    Object.entries(inputs).map(([key, { type, low = -1, high = 1 }]) => {
      const values = new Float32Array(elements(type.shape));
      return [`run.${key}`, Random.of(1, name, key).fillUniform(values, low, high)];
    }),
  );
}

/** A run takes its inputs: they are written for each one. */
export function writeInputs(executor: Executor, inputs: ReadonlyMap<string, HostData>): void {
  for (const [name, data] of inputs) executor.write(name, data);
}

/** The case's outputs by the float64 reference. */
export async function expectedOutputs(item: KernelCase): Promise<ReadonlyMap<string, HostData>> {
  const executor = await referenceExecutor.load(kernelProgram(item, 1));
  writeInputs(executor, inputsOf(item));
  await executor.run('run');
  const outputs = await readOutputs(executor, item);
  await executor.dispose();
  return outputs;
}

/**
 * Throws Error unless every output is within 1e-4 of the expected one, relative to the element or
 * to the root mean square of the tensor, whichever is larger.
 */
export async function checkOutputs(
  executor: Executor,
  item: KernelCase,
  expected: ReadonlyMap<string, HostData>,
): Promise<void> {
  for (const [name, got] of await readOutputs(executor, item)) {
    const want = expected.get(name) ?? [];
    let squares = 0;
    for (const value of want) squares += value * value;
    const scale = Math.sqrt(squares / want.length);
    const bad = got.findIndex((value, i) => {
      return !(Math.abs(value - want[i]) <= 1e-4 * Math.max(scale, Math.abs(want[i])));
    });
    if (bad < 0) continue;
    throw new Error(
      `${item.name} on ${executor.name} ${executor.detail}, output ${name}, element ${bad}: ` +
        `expected ${want[bad]} within 1e-4, got ${got[bad]}`,
    );
  }
}

async function readOutputs(executor: Executor, item: KernelCase): Promise<Map<string, HostData>> {
  const outputs = new Map<string, HostData>();
  for (const name of hostSlots(executor.program).keys()) {
    const key = name.replace(/^run\./, '');
    if (!Object.hasOwn(item.inputs, key)) outputs.set(key, await executor.read(name));
  }
  return outputs;
}
