/**
 * What is particular to the native executor: loading, checks in C, threads, variants, and its end.
 * That it computes what the reference does is the business of the contract tests over all
 * executors.
 */
import { ExecutorError, opcodeOf, plannedBytes, type Executor } from '@thimble/core';
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { requireAddon, tryAddon } from '../src/addon.js';
import { native, nativeVariants, returnFreedMemory } from '../src/index.js';
import { additions, block, everything, loaded, products } from './programs.js';

const compiler = [process.env['CC'] ?? 'cc', 'gcc', 'clang'].find(
  (command) => spawnSync(command, ['--version']).status === 0,
);
const absent = compiler === undefined && nativeVariants().length === 0;

describe.runIf(absent)('without a C compiler', () => {
  it('says in one sentence that the native kernels are absent', async () => {
    expect(await native.unavailable()).toMatch(/^The native kernels .*\.$/);
    await expect(native.load(additions(1))).rejects.toThrow(/executor native: expected the comp/);
  });
});

describe.skipIf(absent)('the native executor', () => {
  it('is there, since there is a C compiler', async () => {
    expect(await native.unavailable()).toBeNull();
    expect(nativeVariants()).toContain('base');
  });

  it('makes glibc give back what is freed, and leaves other C libraries alone', () => {
    const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
    expect(returnFreedMemory()).toBe(header.glibcVersionRuntime !== undefined);
  });

  it('measures peaks of its variants and refuses anything else', async () => {
    const addon = requireAddon();
    expect(await addon.measurePeak('base', 2, 640, 10)).toBeGreaterThan(0);
    for (const [threads, floats, repeats] of [
      [0, 0, 1],
      [257, 0, 1],
      [1, 63, 1],
      [1, -64, 1],
      [1, 0, 0],
    ]) {
      const measure = () => addon.measurePeak('base', threads, floats, repeats);
      expect(measure).toThrow(/^measurePeak: expected a variant of this machine, threads/);
    }
    await expect(native.peaks({ threads: 0 })).rejects.toThrow(ExecutorError);
  });

  it('allocates what was planned, constants filled and the rest zero', async () => {
    const program = block();
    const executor = await native.load(program, { threads: 2 });
    expect(executor.arenaBytes).toBe(plannedBytes(program, 2));
    expect(executor.detail).toBe(nativeVariants()[0]);
    const filled = program.slots.filter((slot) => slot.fill !== undefined);
    expect(filled.length).toBeGreaterThan(0);
    for (const slot of filled) {
      expect(await executor.read(slot.name)).toEqual(
        new Float32Array(slot.bytes / 4).fill(slot.fill ?? NaN),
      );
    }
    expect(new Set(await executor.read('qkv.weight'))).toEqual(new Set([0]));
    await executor.dispose();
  });

  it('gives the same bits with 1, 2, 3 and 4 threads', async () => {
    for (const variant of nativeVariants()) {
      const expected = await resultOf({ threads: 1, variant });
      for (const threads of [2, 3, 4]) {
        expect(await resultOf({ threads, variant })).toEqual(expected);
      }
    }
  });

  it('agrees between all variants of this machine', async () => {
    const expected = await resultOf({ variant: 'base' });
    for (const variant of nativeVariants()) {
      const actual = await resultOf({ variant });
      for (const [name, values] of Object.entries(expected)) {
        values.forEach((value, i) => {
          const difference = Math.abs(actual[name][i] - value);
          expect(difference, `${variant} ${name}[${i}]`).toBeLessThanOrEqual(
            1e-5 * Math.max(1, Math.abs(value)),
          );
        });
      }
    }
  });

  it('leaves the event loop free during a run', async () => {
    const executor = await loaded(products(512, 60), { threads: 2, variant: 'base' });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const start = performance.now();
    await executor.run('go');
    const ms = performance.now() - start;
    clearInterval(timer);
    await executor.dispose();
    // One tick in ten milliseconds, where one in each is due: the machine may be busy.
    expect(ticks).toBeGreaterThan(ms / 10 - 1);
    expect(ms).toBeGreaterThan(20);
  });

  it('runs two executors at once, more threads than cores', async () => {
    const expected = await resultOf({ threads: 1 });
    const executors = await Promise.all([
      loaded(block(), { threads: 4 }),
      loaded(block(), { threads: 3 }),
    ]);
    await Promise.all(executors.map((executor) => executor.run('go')));
    for (const executor of executors) {
      expect(await everything(executor)).toEqual(expected);
      await executor.dispose();
    }
  });

  it('profiles every step and computes the same', async () => {
    const executor = await loaded(block(), { threads: 2 });
    const times = await executor.profile?.('go');
    expect(times).toHaveLength(executor.program.entries[0].steps.length);
    expect(times?.every((ms) => ms >= 0 && ms < 10_000)).toBe(true);
    expect(await everything(executor)).toEqual(await resultOf({ threads: 1 }));
    await executor.dispose();
  });
});

describe.skipIf(absent)('one run at a time', () => {
  it('refuses a second run, a write and a read meanwhile', async () => {
    const executor = await loaded(products(256, 20), {});
    const running = executor.run('go');
    await expect(executor.run('go')).rejects.toThrow(
      'run of go: expected an idle executor, got another run under way. Await the run first.',
    );
    await expect(executor.read('go.y')).rejects.toThrow(ExecutorError);
    expect(() => executor.write('go.a', new Float32Array(256 * 256))).toThrow(ExecutorError);
    await running;
    executor.write('go.a', new Float32Array(256 * 256));
    await executor.run('go');
    await executor.dispose();
  });

  it('is disposed of after the run under way; everything fails then', async () => {
    const executor = await loaded(products(256, 20), { threads: 2 });
    let finished = false;
    const running = executor.run('go').then(() => {
      finished = true;
    });
    await executor.dispose();
    await running;
    expect(finished).toBe(true);
    await executor.dispose();
    const message = /got an executor that was disposed. Load the program again/;
    await expect(executor.run('go')).rejects.toThrow(message);
    await expect(executor.read('go.y')).rejects.toThrow(message);
    expect(() => executor.write('go.a', new Float32Array(256 * 256))).toThrow(message);
  });

  it('refuses options and names that are none', async () => {
    const program = additions(1);
    for (const threads of [0, 1.5, 257, NaN]) {
      await expect(native.load(program, { threads })).rejects.toThrow(
        `expected a whole number from 1 to 256, got ${String(threads)}.`,
      );
    }
    const executor = await native.load(program);
    await expect(executor.run('stop')).rejects.toThrow(
      'expected one of the entries go, got "stop"',
    );
    await expect(executor.read('x')).rejects.toThrow(/tensor x: expected a persistent tensor/);
    await executor.dispose();
  });

  it('says what the system refused', async () => {
    const program = additions(1);
    vi.spyOn(requireAddon(), 'Engine').mockImplementation(function () {
      throw new Error('the system refused the memory');
    });
    try {
      await expect(native.load(program, { threads: 2 })).rejects.toThrow(
        `executor native: expected ${String(plannedBytes(program, 2))} bytes of memory and ` +
          '2 threads, got the system refused the memory.',
      );
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('says which entry the addon refuses, and frees the engine', async () => {
    const addon = requireAddon();
    const engine = new addon.Engine(0, 0, 1, 'base');
    const dispose = vi.spyOn(engine, 'dispose');
    vi.spyOn(engine, 'addEntry').mockImplementation(() => {
      throw new RangeError('words: expected opcodes that these kernels know');
    });
    vi.spyOn(addon, 'Engine').mockImplementation(function () {
      return engine;
    });
    try {
      await expect(native.load(additions(1))).rejects.toThrow(
        'executor native, entry go: expected words that the kernels know, ' +
          'got words: expected opcodes that these kernels know. Run npm run build: ',
      );
      expect(dispose).toHaveBeenCalledTimes(1);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('refuses a program that reaches beyond its memory, before anything is loaded', async () => {
    const program = additions(1);
    const slots = program.slots.map((slot) => ({ ...slot, offset: 2 ** 36 }));
    await expect(native.load({ ...program, slots })).rejects.toThrow(ExecutorError);
    await expect(native.load({ ...program, slots })).rejects.toThrow(
      'program: expected one as compile or parseProgram returns it, ' +
        'got slot a outside of the arena. Load it as it was compiled.',
    );
  });
});

describe.skipIf(absent)('the addon checks every argument', () => {
  const OFFSETS_OF_ADD = [0, 0, 0, 16, 16];
  const ADD_OPCODE = opcodeOf('add');

  function engine() {
    const addon = tryAddon();
    if (typeof addon === 'string') throw new Error(addon);
    return { make: addon.Engine, engine: new addon.Engine(128, 0, 1, 'base') };
  }

  it('of the constructor', () => {
    const { make } = engine();
    const bad = (...args: unknown[]) => expect(() => Reflect.construct(make, args) as unknown);
    bad(100, 0, 1, 'base').toThrow('arenaBytes: expected a multiple of 64 from 0 to');
    bad(-64, 0, 1, 'base').toThrow('arenaBytes');
    bad('64', 0, 1, 'base').toThrow('arenaBytes');
    bad(64, 32, 1, 'base').toThrow('scratchBytes: expected a multiple of 64');
    bad(64, 2 ** 60, 1, 'base').toThrow('scratchBytes');
    bad(64, 0, 0, 'base').toThrow('threads: expected a multiple of 1 from 1 to 256');
    bad(64, 0, 257, 'base').toThrow('threads');
    bad(64, 0, 1, 'sse').toThrow("variant: expected one of this machine's variants");
    bad(64, 0, 1, null).toThrow('variant');
    bad().toThrow('arenaBytes');
    expect(() => {
      Reflect.apply(make, undefined, [64, 0, 1, 'base']);
    }).toThrow('a call with new');
  });

  it('of write and read', () => {
    const { engine: one } = engine();
    const call = (method: 'write' | 'read', ...args: unknown[]) =>
      expect(() => Reflect.apply(one[method], one, args) as unknown);
    for (const method of ['write', 'read'] as const) {
      call(method, 64, new Float32Array(16)).not.toThrow();
      call(method, 68, new Float32Array(16)).toThrow('data: expected no more elements than fit');
      call(method, 132, new Float32Array(0)).toThrow(
        'offset: expected a multiple of 4 from 0 to 128',
      );
      call(method, 2, new Float32Array(1)).toThrow('offset');
      call(method, NaN, new Float32Array(1)).toThrow('offset');
      call(method, 0, new Uint8Array(4)).toThrow(
        'data: expected a Float32Array, an Int32Array or an Int8Array',
      );
      call(method, 0, new Int8Array(128)).not.toThrow();
      call(method, 0, new Int8Array(129)).toThrow('data: expected no more elements than fit');
      call(method, 0, [1, 2]).toThrow('data');
      call(method, 0).toThrow('data');
    }
    expect(() => Reflect.apply(one.write, {}, [0, new Float32Array(1)])).toThrow();
  });

  it('of an entry', () => {
    const { engine: one } = engine();
    const words = (...list: number[]) => expect(() => one.addEntry(Int32Array.from(list)));
    words(ADD_OPCODE, 5, ...OFFSETS_OF_ADD, 0).not.toThrow();
    words().toThrow('words: expected one OP_END, at the end');
    words(0, 0).toThrow('one OP_END');
    words(ADD_OPCODE, 5, ...OFFSETS_OF_ADD).toThrow('one OP_END');
    words(ADD_OPCODE, 5, 0, 0).toThrow('one OP_END');
    words(ADD_OPCODE).toThrow("steps as long as their op's arguments");
    words(ADD_OPCODE, 4, 0, 0, 0, 0, 0).toThrow("steps as long as their op's arguments");
    // The arena has two places; a, b and y of add are never absent.
    for (const place of [2, 2 ** 30, -1, -64, -(2 ** 31)]) {
      for (const operand of [0, 1, 2]) {
        words(ADD_OPCODE, 5, ...OFFSETS_OF_ADD.with(operand, place), 0).toThrow(
          'words: expected operands inside of the arena',
        );
      }
    }
    const total = opcodeOf('sum_squares');
    words(total, 5, 0, -1, 1, 0, 16, 0).not.toThrow();
    words(total, 5, -1, 0, 1, 0, 16, 0).toThrow('operands inside of the arena');
    words(9999, 0, 0).toThrow('opcodes that these kernels know');
    words(-1, 0, 0).toThrow('opcodes that these kernels know');
    expect(() => {
      Reflect.apply(one.addEntry, one, [new Float32Array(1)]);
    }).toThrow('an Int32Array');
    expect(() => one.run(2)).toThrow('entry: expected a multiple of 1 from 0 to 1');
    expect(() => one.run(-1)).toThrow('entry');
  });

  it('after dispose', () => {
    const { engine: one } = engine();
    one.dispose();
    expect(() => one.run(0)).toThrow('this engine was disposed of');
    expect(() => one.dispose()).toThrow('this engine was disposed of');
  });
});

describe.skipIf(absent)('a process with engines that nobody disposed of', () => {
  const addon = JSON.stringify(fileURLToPath(new URL('../build/thimble.node', import.meta.url)));
  const make = `
    const { Engine } = require(${addon});
    const make = () => {
      const engine = new Engine(1 << 20, 64, 4, 'base');
      engine.addEntry(new Int32Array(1));
      return engine;
    };`;

  function outcome(script: string, ...flags: string[]) {
    const options = { encoding: 'utf8', timeout: 30_000 } as const;
    const child = spawnSync(process.execPath, [...flags, '-e', make + script], options);
    return { status: child.status, signal: child.signal, printed: child.stdout + child.stderr };
  }

  it('ends by itself, by exit during a run, and with its worker threads', () => {
    const clean = { status: 0, signal: null, printed: '' };
    expect(outcome('globalThis.kept = make(); kept.run(0);')).toEqual(clean);
    expect(outcome('make().run(0); process.exit(0);')).toEqual(clean);
    const inWorker = JSON.stringify(`${make} globalThis.kept = make(); kept.run(0);`);
    const workers = `
      const { Worker } = require('node:worker_threads');
      const start = () => new Worker(${inWorker}, { eval: true });
      start();
      start().once('online', function () { this.terminate(); });`;
    expect(outcome(workers)).toEqual(clean);
  });

  it.runIf(process.platform === 'linux')('gives their threads back when they are collected', () => {
    const script = `
      const threads = () => require('node:fs').readdirSync('/proc/self/task').length;
      const settled = () => new Promise((resolve) => setTimeout(resolve, 20));
      (async () => {
        await make().run(0);
        const before = threads();
        for (let i = 0; i < 5; i++) make();
        const most = threads();
        for (let i = 0; i < 5; i++) { gc(); await settled(); }
        console.log(most - before >= 15, threads() <= before);
      })();`;
    expect(outcome(script, '--expose-gc').printed).toBe('true true\n');
  });
});

/** Everything that the block program leaves behind after one run. */
async function resultOf(
  options: Parameters<typeof native.load>[1],
): Promise<Record<string, readonly number[]>> {
  const executor: Executor = await loaded(block(), options ?? {});
  await executor.run('go');
  const result = await everything(executor);
  await executor.dispose();
  return result;
}
