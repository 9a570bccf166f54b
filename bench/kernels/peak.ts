/**
 * The machine's own limits, measured in the same run as the kernels: multiply-adds and copied bytes
 * per second, for each native instruction set (a small program, compiled here) and for WebAssembly
 * (the same C in worker threads). peak.c has the loops.
 *
 * A WebAssembly peak of 128 bits counts multiply and add as two operations: without relaxed SIMD
 * they are two instructions, so this peak is about a quarter of AVX2's with its
 * fused ones.
 */
import { commands } from '@yowasp/clang';
import type { NativeVariant } from '@thimble/native';
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { JsonProcess, numberIn } from '../harness/json-process.js';
import type { PeakAnswer, PeakRequest } from './peak-worker.js';
import { webAssembly } from './web-assembly.js';

/** Measures limits; every call is one measurement. */
export interface PeakMeter {
  /** Floating-point operations per second of `threads` threads. */
  flops(threads: number): Promise<number>;
  /** Bytes per second, read and written, when `bytes` of memory are half source and half copy. */
  copy(threads: number, bytes: number): Promise<number>;
  close(): Promise<void>;
}

/** One loop on `threads` threads; the rate of all together. */
type Rate = (threads: number, request: PeakRequest) => Promise<number>;

/** This file runs as bench/dist/kernels/peak.js. */
const sourceFolder = fileURLToPath(new URL('../../kernels/', import.meta.url));
const kernelFolder = fileURLToPath(new URL('../../../kernels/', import.meta.url));
const outputFolder = fileURLToPath(new URL('../peak/', import.meta.url));

/** A measurement takes about this long. */
const TURN_SECONDS = 0.02;

/** As in scripts/build/native.ts. */
const VARIANT_FLAGS: { readonly [V in NativeVariant]: readonly string[] } = {
  avx512: ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mfma'],
  avx2: ['-mavx2', '-mfma'],
  base: [],
};

/** The limits of one native instruction set. Throws Error where there is no C compiler. */
export async function nativePeak(variant: NativeVariant): Promise<PeakMeter> {
  const program = join(outputFolder, variant);
  await mkdir(outputFolder, { recursive: true });
  await promisify(execFile)(process.env['CC'] ?? 'cc', [
    ...['-O3', '-std=gnu11', '-ffp-contract=fast', '-pthread', ...VARIANT_FLAGS[variant]],
    ...['-iquote', kernelFolder, '-o', program],
    ...['peak.c', 'peak-main.c'].map((name) => join(sourceFolder, name)),
  ]);
  const child = new JsonProcess(`peak ${variant}`, { file: program, args: [] });
  const rate: Rate = async (threads, request) => {
    const text =
      request.kind === 'fma'
        ? `fma ${threads} ${request.steps}`
        : `copy ${threads} ${request.count} ${request.repeats}`;
    return numberIn(await child.ask({ do: text }), 'perSecond');
  };
  return meter(rate, () => child.close());
}

/** The limits of WebAssembly here, with fused multiply-adds when `relaxed`. */
export async function wasmPeak(relaxed: boolean, threads: number): Promise<PeakMeter> {
  const module = await webAssembly.compile(await compileWasm(relaxed));
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('./peak-worker.js', import.meta.url), { workerData: module }),
  );
  const rate: Rate = async (count, request) => {
    const answers = await Promise.all(workers.slice(0, count).map((one) => ask(one, request)));
    const seconds = Math.max(...answers.map((answer) => answer.seconds));
    return answers.reduce((sum, answer) => sum + answer.work, 0) / seconds;
  };
  const close = async () => {
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
  return meter(rate, close);
}

/** Chooses amounts of work that take TURN_SECONDS; they are kept for the next time. */
function meter(rate: Rate, close: () => Promise<void>): PeakMeter {
  let steps = 0;
  const repeats = new Map<number, number>();
  return {
    flops: async (threads) => {
      if (steps === 0) steps = await scaled((count) => rate(1, { kind: 'fma', steps: count }), 1e5);
      return rate(threads, { kind: 'fma', steps });
    },
    copy: async (threads, bytes) => {
      // Floats of one thread's source: a multiple of 64, as peak_copy wants.
      const count = Math.max(64, Math.floor(bytes / 2 / 4 / threads / 64) * 64);
      const request = (times: number) => ({ kind: 'copy', count, repeats: times }) as const;
      const known = repeats.get(count) ?? (await scaled((times) => rate(1, request(times)), 1));
      repeats.set(count, known);
      return rate(threads, request(known));
    },
    close,
  };
}

/** How much of `least` work takes TURN_SECONDS; `run` does some work and is timed from outside. */
async function scaled(run: (work: number) => Promise<number>, least: number): Promise<number> {
  for (let work = least; ; work *= 2) {
    const started = performance.now();
    await run(work);
    const seconds = (performance.now() - started) / 1000;
    if (seconds >= TURN_SECONDS) return work;
  }
}

function ask(worker: Worker, request: PeakRequest): Promise<PeakAnswer> {
  return new Promise((resolve, reject) => {
    worker.removeAllListeners();
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.postMessage(request);
  });
}

async function compileWasm(relaxed: boolean): Promise<Uint8Array<ArrayBuffer>> {
  const files: Record<string, string> = {
    'peak.c': await readFile(join(sourceFolder, 'peak.c'), 'utf8'),
    'peak.h': await readFile(join(sourceFolder, 'peak.h'), 'utf8'),
    'simd.h': await readFile(join(kernelFolder, 'simd.h'), 'utf8'),
    'kernel.h': await readFile(join(kernelFolder, 'kernel.h'), 'utf8'),
  };
  const quiet = { fetchProgress: () => undefined };
  await commands.clang(undefined, {}, quiet); // loads the compiler; without it, progress is printed
  const flags = ['--target=wasm32', '-O3', '-std=gnu11', '-ffreestanding', '-msimd128'];
  const compiled = await commands.clang(
    [...flags, ...(relaxed ? ['-mrelaxed-simd'] : []), '-c', 'peak.c', '-o', 'peak.o'],
    files,
    quiet,
  );
  const object = compiled?.['peak.o'];
  if (!(object instanceof Uint8Array)) throw new Error('peak.c did not compile to WebAssembly');
  const linked = await commands['wasm-ld'](
    ['--no-entry', '--export-all', '--stack-first', 'peak.o', '-o', 'peak.wasm'],
    { 'peak.o': object },
    quiet,
  );
  const bytes = linked?.['peak.wasm'];
  if (!(bytes instanceof Uint8Array)) throw new Error('peak.o did not link');
  return Uint8Array.from(bytes);
}
