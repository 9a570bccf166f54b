/**
 * What is particular to the WebAssembly executor: the same bits for any number of threads on every
 * op's samples, its contract around runs, and the life of its threads.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ExecutorError } from '../src/errors.js';
import type { Executor } from '../src/executors/executor.js';
import { wasmExecutor, wasmVariants } from '../src/executors/wasm/index.js';
import { layOut, splitSteps } from '../src/executors/wasm/layout.js';
import { bytesOf, f32, type TensorType } from '../src/ir/types.js';
import { ALIGNMENT, encodeEntry, plannedBytes } from '../src/program.js';
import type { Entry, Program, Slot, Step } from '../src/program.js';
import { agree, CASES, dataOf, mapRecord, runReference, typesOf } from './ops-evaluate.js';

type Case = (typeof CASES)[number];

const KERNEL_CASES = CASES.filter(({ op }) => !op.view);
const THREADS = [1, 2, 4] as const;
const VARIANTS = ['relaxed-simd128', 'simd128'] as const;

/** A program with one entry of one step for each case; operands are persistent slots
 * `<case>/<operand>`. */
function programOf(cases: readonly Case[]): Program {
  const slots: Slot[] = [];
  let arenaBytes = 0;
  let scratchBytes = 0;
  const place = (name: string, type: TensorType): number => {
    const index = slots.length;
    const base = { type, role: 'state', entry: null, first: 0, last: 0, root: index } as const;
    slots.push({ ...base, name, offset: arenaBytes, bytes: bytesOf(type) });
    arenaBytes += Math.ceil(bytesOf(type) / ALIGNMENT) * ALIGNMENT;
    return index;
  };
  const entries = cases.map(({ title, op, sample }): Entry => {
    const types = typesOf(sample);
    const outputTypes = op.infer(types, sample.params, op.name);
    const all = { ...types, ...outputTypes };
    const inputs = mapRecord(types, (type, key) => place(`${title}/${key}`, type));
    const updated = new Map<string, string>(op.updates ?? []);
    const outputs = mapRecord(outputTypes, (type, key) => {
      const input = updated.get(key);
      return input === undefined ? place(`${title}/${key}`, type) : inputs[input];
    });
    const workspaceBytes = op.workspace?.(all, sample.params);
    const workspace =
      workspaceBytes === undefined ? null : place(`${title}/work`, f32(workspaceBytes / 4));
    const scratch = op.scratch?.(all, sample.params) ?? 0;
    scratchBytes = Math.max(scratchBytes, Math.ceil(scratch / ALIGNMENT) * ALIGNMENT);
    const step = { name: title, op: op.name, params: sample.params, inputs, outputs, workspace };
    return { name: title, steps: [step], inputs: {}, outputs: {} };
  });
  return { slots, entries, persistentBytes: arenaBytes, arenaBytes, scratchBytes };
}

function writeInputs(executor: Executor, { title, op, sample }: Case): void {
  for (const [key, data] of Object.entries(dataOf(op, sample))) {
    executor.write(`${title}/${key}`, data);
  }
}

async function readOutputs(executor: Executor, step: Step): Promise<Record<string, number[]>> {
  const result: Record<string, number[]> = {};
  for (const [key, slot] of Object.entries(step.outputs)) {
    result[key] = Array.from(await executor.read(executor.program.slots[slot].name));
  }
  return result;
}

describe.each(VARIANTS)('every op on %s', (variant) => {
  const program = programOf(KERNEL_CASES);
  let executors: readonly Executor[] = [];

  beforeAll(async () => {
    executors = await Promise.all(
      THREADS.map((threads) => wasmExecutor.load(program, { threads, variant })),
    );
  });
  afterAll(async () => {
    await Promise.all(executors.map((executor) => executor.dispose()));
  });

  it('has the threads that were asked for and the bytes that were planned', () => {
    expect(executors.map((executor) => executor.threads)).toEqual(THREADS);
    for (const executor of executors) {
      expect(executor.detail).toBe(variant);
      expect(executor.arenaBytes).toBe(plannedBytes(program, executor.threads));
    }
  });

  it.each(KERNEL_CASES)('$title: the reference, and the same bits on all threads', async (item) => {
    const runs: Record<string, number[]>[] = [];
    for (const executor of executors) {
      writeInputs(executor, item);
      await executor.run(item.title);
      const entry = program.entries[KERNEL_CASES.indexOf(item)];
      runs.push(await readOutputs(executor, entry.steps[0]));
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
    const { op, sample } = item;
    const expected = runReference(op, dataOf(op, sample), typesOf(sample), sample.params);
    for (const [key, values] of Object.entries(runs[0])) {
      // Sums of up to 300 products of size one in single precision: 1e-5 absolute.
      const close = agree(Float64Array.from(values), expected[key], 1e-5, 1e-5);
      if (!close) expect({ [key]: values }).toEqual({ [key]: Array.from(expected[key]) });
    }
  });
});

describe('variants', () => {
  const program = programOf(KERNEL_CASES.slice(0, 1));

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('are both there, and the one with fused multiply-add is chosen', async () => {
    expect(await wasmVariants()).toEqual(VARIANTS);
    const executor = await wasmExecutor.load(program, { threads: 2 });
    expect(executor.detail).toBe('relaxed-simd128');
    await executor.dispose();
  });

  it('without relaxed SIMD: the other one is chosen, and asking for it is refused', async () => {
    const { validate } = WebAssembly;
    const { relaxedSimd } = await import('../src/executors/wasm/kernels.generated.js');
    vi.spyOn(WebAssembly, 'validate').mockImplementation(
      (bytes) => Buffer.from(bytes).toString('base64') !== relaxedSimd && validate(bytes),
    );
    expect(await wasmVariants()).toEqual(['simd128']);
    const executor = await wasmExecutor.load(program);
    expect(executor.detail).toBe('simd128');
    await executor.dispose();
    await expect(wasmExecutor.load(program, { variant: 'relaxed-simd128' })).rejects.toThrow(
      'executor wasm, option variant: expected a JavaScript engine with relaxed SIMD',
    );
  });
});

describe('runs', () => {
  const items = KERNEL_CASES.slice(0, 3);
  const program = programOf(items);
  const name = program.slots[0].name;
  const zeros = new Float32Array(program.slots[0].bytes / 4);

  it('refuses a second run, a write and a read while one is under way', async () => {
    const executor = await wasmExecutor.load(program);
    const first = executor.run(items[0].title);
    await expect(executor.run(items[0].title)).rejects.toThrow(
      `run of ${items[0].title}: expected an idle executor, got another run under way.`,
    );
    expect(() => {
      executor.write(name, zeros);
    }).toThrow(ExecutorError);
    await expect(executor.read(name)).rejects.toThrow(ExecutorError);
    await first;
    await executor.run(items[0].title);
    await executor.dispose();
  });

  it('rejects a run under way and all later calls once disposed', async () => {
    const executor = await wasmExecutor.load(program, { threads: 2 });
    const run = executor.run(items[0].title);
    const outcome = expect(run).rejects.toThrow('the executor was disposed');
    await executor.dispose();
    await outcome;
    await expect(executor.run(items[0].title)).rejects.toThrow('an executor that was disposed');
    await executor.dispose();
  });

  it('rejects the run when a kernel traps, and cannot be used after that', async () => {
    const away = program.slots.map((slot) => ({ ...slot, offset: 2 ** 30 }));
    const executor = await wasmExecutor.load({ ...program, slots: away }, { threads: 2 });
    await expect(executor.run(items[0].title)).rejects.toThrow('memory access out of bounds');
    await expect(executor.run(items[0].title)).rejects.toThrow('an executor that was disposed');
  });

  it('times every step', async () => {
    const executor = await wasmExecutor.load(program, { threads: 2 });
    const milliseconds = await executor.profile?.(items[0].title);
    expect(milliseconds).toHaveLength(1);
    for (const time of milliseconds ?? [NaN]) expect(time).toBeGreaterThanOrEqual(0);
    await executor.dispose();
  });

  it('does not block the event loop', async () => {
    const executor = await wasmExecutor.load(program);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    for (let i = 0; i < 50; i++) await executor.run(items[0].title);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
    await executor.dispose();
  });

  it.each([0, 1.5, 65, NaN])('rejects %d threads', async (threads) => {
    await expect(wasmExecutor.load(program, { threads })).rejects.toThrow(
      'executor wasm, option threads: expected a whole number from 1 to 64',
    );
  });

  it('refuses more than WebAssembly can address', async () => {
    const huge = { ...program, arenaBytes: 2 ** 32 };
    await expect(wasmExecutor.load(huge)).rejects.toThrow('a program of at most 4 GiB');
  });
});

describe('a page that is not cross-origin isolated', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it('runs on one thread that owns the memory, with the same bits', async () => {
    const items = KERNEL_CASES.filter(({ op }) => op.name === 'adamw');
    const program = programOf(items);
    const shared = await wasmExecutor.load(program, { threads: 2 });
    vi.stubGlobal('crossOriginIsolated', false);
    const executor = await wasmExecutor.load(program, { threads: 2 });
    expect(executor.threads).toBe(1);
    for (const [index, item] of items.entries()) {
      const outputs: Record<string, number[]>[] = [];
      for (const each of [shared, executor]) {
        writeInputs(each, item);
        await each.run(item.title);
        outputs.push(await readOutputs(each, program.entries[index].steps[0]));
      }
      expect(outputs[1]).toEqual(outputs[0]);
    }
    expect(await executor.profile?.(items[0].title)).toHaveLength(1);
    await Promise.all([shared.dispose(), executor.dispose()]);
  });
});

describe('layout', () => {
  it('places parts on 64 bytes without overlap', () => {
    const program = { ...programOf(KERNEL_CASES.slice(0, 5)), scratchBytes: 1000 };
    const layout = layOut(program, 3);
    const entries = layout.entries.map(({ address, words }) => [address, words.byteLength]);
    const parts = [
      [layout.barrier, 64],
      ...layout.contexts.map((address) => [address, 64]),
      ...layout.stackTops.map((top) => [top - 65536, 65536]),
      ...entries,
      ...layout.scratches.map((address) => [address, program.scratchBytes]),
      [layout.arena, program.arenaBytes],
    ].sort(([a], [b]) => a - b);
    expect(parts[0][0]).toBe(65536);
    parts.forEach(([address, bytes], index) => {
      expect(address % 64).toBe(0);
      const next = parts.at(index + 1)?.[0] ?? layout.pages * 65536;
      expect(address + bytes).toBeLessThanOrEqual(next);
    });
  });

  it('splits an entry into steps that run alone', () => {
    const program = programOf(KERNEL_CASES.slice(0, 2));
    const [first, second] = program.entries.map((entry) => encodeEntry(program, entry));
    const both = Int32Array.of(...first.subarray(0, -1), ...second);
    expect(splitSteps(both)).toEqual([first, second]);
  });
});

describe('process', () => {
  const index = fileURLToPath(new URL('../dist/executors/wasm/index.js', import.meta.url));
  const entry = { name: 'step', steps: [], inputs: {}, outputs: {} };
  const empty = { slots: [], entries: [entry], persistentBytes: 0, arenaBytes: 0, scratchBytes: 0 };
  const load =
    `const { wasmExecutor } = await import(${JSON.stringify(index)});` +
    `const program = ${JSON.stringify(empty)};` +
    'const executor = await wasmExecutor.load(program, { threads: 2 });';
  const runScript = async (script: string) =>
    (await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script])).stdout;

  it('of this Node runs the kernels with relaxed SIMD, whatever flags it was started with', async () => {
    expect(await runScript(`${load} console.log(executor.detail);`)).toBe('relaxed-simd128\n');
  });

  it('ends although an idle executor was not disposed', async () => {
    expect(await runScript(`${load} console.log('loaded');`)).toBe('loaded\n');
  });

  it('does not end while a run is under way', async () => {
    const script = `${load} void executor.run('step').then(() => console.log('done'));`;
    expect(await runScript(script)).toBe('done\n');
  });

  it('runs where a library has given Node a global Worker', async () => {
    const worker = "globalThis.Worker = (await import('node:worker_threads')).Worker;";
    const script = `${worker} ${load} await executor.run('step'); console.log('done');`;
    expect(await runScript(script)).toBe('done\n');
  });
});
