/** One thread that measures WebAssembly's limits; started by peak.ts with the compiled module. */
import { parentPort, workerData } from 'node:worker_threads';
import { webAssembly, type WasmModule } from './web-assembly.js';

export type PeakRequest =
  | { readonly kind: 'fma'; readonly steps: number }
  /** `count` floats, copied `repeats` times. */
  | { readonly kind: 'copy'; readonly count: number; readonly repeats: number };

export interface PeakAnswer {
  /** Floating-point operations, or bytes read and written. */
  readonly work: number;
  readonly seconds: number;
}

/** What peak.c exports. */
interface PeakExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly __heap_base: { readonly value: number };
  readonly peak_flops_per_step: () => number;
  readonly peak_fma: (steps: number) => number;
  readonly peak_copy: (to: number, from: number, count: number, repeats: number) => void;
}

const PAGE_BYTES = 65536;

const instance = new webAssembly.Instance(workerData as WasmModule);
const { memory, peak_flops_per_step, peak_fma, peak_copy, __heap_base } =
  instance.exports as PeakExports;
const heap = Math.ceil(__heap_base.value / 64) * 64;

parentPort?.on('message', (request: PeakRequest) => {
  parentPort?.postMessage(request.kind === 'fma' ? fma(request.steps) : copy(request));
});

function fma(steps: number): PeakAnswer {
  const seconds = timed(() => peak_fma(steps));
  return { work: steps * peak_flops_per_step(), seconds };
}

function copy({ count, repeats }: Extract<PeakRequest, { kind: 'copy' }>): PeakAnswer {
  const missing = heap + 8 * count - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  // The first touch of the memory is not part of the measurement.
  new Float32Array(memory.buffer, heap, 2 * count).fill(1);
  const seconds = timed(() => {
    peak_copy(heap, heap + 4 * count, count, repeats);
  });
  return { work: 8 * count * repeats, seconds };
}

function timed(work: () => void): number {
  const started = performance.now();
  work();
  return (performance.now() - started) / 1000;
}
