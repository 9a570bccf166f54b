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
import { Thread } from '../src/executors/wasm/thread.js';
import { EMPTY_GRAPH } from '../src/ir/graph.js';
import { f32 } from '../src/ir/types.js';
import { GraphBuilder } from '../src/ops/builder.js';
import { gelu } from '../src/ops/gelu.js';
import { plan } from '../src/plan/plan.js';
import { encodeEntry, entryNamed, hostSlots, plannedBytes, type Program } from '../src/program.js';
import { agree, CASES, dataOf, mapRecord, runReference, typesOf } from './ops-evaluate.js';

type Case = (typeof CASES)[number];

const KERNEL_CASES = CASES.filter(({ op }) => !op.view);
const THREADS = [1, 2, 4] as const;
const VARIANTS = ['relaxed-simd128', 'simd128'] as const;

/** A program with an entry of one step for each case. */
function programOf(cases: readonly Case[]): Program {
  return plan(
    cases.map(({ title, op, sample }) => {
      const builder = new GraphBuilder();
      const inputs = mapRecord(typesOf(sample), (type, key) => builder.input(key, type));
      return { name: title, graph: builder.build(builder.emit(op, inputs, sample.params)) };
    }),
  );
}

function writeInputs(executor: Executor, { title, op, sample }: Case): void {
  for (const [key, data] of Object.entries(dataOf(op, sample))) {
    executor.write(`${title}.${key}`, data);
  }
}

async function readOutputs(executor: Executor, { title }: Case): Promise<Record<string, number[]>> {
  const { outputs } = entryNamed(executor.program, title);
  const result: Record<string, number[]> = {};
  for (const key of Object.keys(outputs)) {
    result[key] = Array.from(await executor.read(`${title}.${key}`));
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
      runs.push(await readOutputs(executor, item));
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
  const [item, ...others] = KERNEL_CASES.slice(0, 3);
  const program = programOf([item, ...others]);
  const [name] = hostSlots(program).keys();
  const zeros = new Float32Array(program.slots[0].bytes / 4);

  const loaded = async (threads = 1) => {
    const executor = await wasmExecutor.load(program, { threads });
    writeInputs(executor, item);
    return executor;
  };

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('refuses a second run, a write and a read while one is under way', async () => {
    const executor = await loaded();
    const first = executor.run(item.title);
    await expect(executor.run(item.title)).rejects.toThrow(
      `run of ${item.title}: expected an idle executor, got another run under way.`,
    );
    expect(() => {
      executor.write(name, zeros);
    }).toThrow(ExecutorError);
    await expect(executor.read(name)).rejects.toThrow(ExecutorError);
    await first;
    writeInputs(executor, item);
    await executor.run(item.title);
    await executor.dispose();
  });

  it('rejects a run under way and all later calls once disposed', async () => {
    const executor = await loaded(2);
    const run = executor.run(item.title);
    const outcome = expect(run).rejects.toThrow('the executor was disposed');
    await executor.dispose();
    await outcome;
    await expect(executor.run(item.title)).rejects.toThrow('an executor that was disposed');
    await executor.dispose();
  });

  it.each(['run', 'profile'] as const)(
    'rejects the %s when a kernel traps on one of three threads, and cannot be used after that',
    async (call) => {
      const executor = await loaded(3);
      const { request } = Thread.prototype;
      let runs = 0;
      vi.spyOn(Thread.prototype, 'request').mockImplementation(function (this: Thread, what) {
        // The second thread reads its steps beyond the end of memory; the others wait for it.
        const away = what.kind === 'run' && ++runs === 2;
        return request.call(this, away ? { kind: 'run', words: 2 ** 32 - 64 } : what);
      });
      await expect(executor[call]?.(item.title)).rejects.toThrow(
        /^executor wasm: expected a worker thread that answers, got .*memory access out of bounds/,
      );
      await expect(executor.run(item.title)).rejects.toThrow('an executor that was disposed');
    },
  );

  it('times every step', async () => {
    const executor = await loaded(2);
    const milliseconds = await executor.profile?.(item.title);
    expect(milliseconds).toHaveLength(1);
    for (const time of milliseconds ?? [NaN]) expect(time).toBeGreaterThanOrEqual(0);
    await executor.dispose();
  });

  it('does not block the event loop', async () => {
    const executor = await loaded();
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    for (let i = 0; i < 50; i++) {
      writeInputs(executor, item);
      await executor.run(item.title);
    }
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
    const builder = new GraphBuilder();
    const y = builder.emit(gelu, { x: builder.input('x', f32(2 ** 30)) }, {}).y;
    const huge = plan([{ name: 'op', graph: builder.build({ y }) }]);
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
    for (const item of items) {
      const outputs: Record<string, number[]>[] = [];
      for (const each of [shared, executor]) {
        writeInputs(each, item);
        await each.run(item.title);
        outputs.push(await readOutputs(each, item));
      }
      expect(outputs[1]).toEqual(outputs[0]);
    }
    writeInputs(executor, items[0]);
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
  const empty = plan([{ name: 'step', graph: EMPTY_GRAPH }]);
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
