/**
 * The WebAssembly executor: the kernels of kernels/ on one or more worker threads over one memory.
 *
 * Every thread is a worker, also the only one, so the caller's event loop is never blocked. Where
 * memory cannot be shared (a page that is not cross-origin isolated) there is one thread, whatever
 * was asked for. Results have the same bits for any number of threads; they differ in the last
 * bits between `simd128` and `relaxed-simd128`, which fuses multiply and add.
 */
import { hostArray } from '../../ir/host.js';
import { opNamed } from '../../ops/index.js';
import { plannedBytes, type Program } from '../../program.js';
import { loadChecked, type Backend } from '../checked.js';
import {
  hostWords,
  loadedContents,
  type Executor,
  type ExecutorKind,
  type HostData,
  type LoadOptions,
  type PeakMeter,
} from '../executor.js';
import { endAll, startCrew } from './crew.js';
import { splitSteps, type Layout } from './layout.js';
import { kernelsUnavailable, type WasmVariant } from './module.js';
import { wasmPeaks } from './peaks.js';
import { remoteStore, sharedStore, type Store } from './store.js';
import type { Thread } from './thread.js';

export { wasmVariants, type WasmVariant } from './module.js';

/** Default of `variant`: the fastest that this engine can run. */
export interface WasmLoadOptions extends LoadOptions {
  readonly variant?: WasmVariant;
}

export interface WasmExecutorKind extends ExecutorKind {
  /** Allocates what the program plans for. Throws ExecutorError where the engine cannot run it. */
  load(program: Program, options?: WasmLoadOptions): Promise<Executor>;
  peaks(options?: WasmLoadOptions): Promise<PeakMeter>;
}

/** The kernels as WebAssembly with SIMD and threads, in Node and in browsers. */
export const wasmExecutor: WasmExecutorKind = {
  name: 'wasm',
  unavailable: kernelsUnavailable,
  load: (program, { threads = 1, variant: wanted } = {}) =>
    loadChecked(program, async () => {
      const { variant, layout, crew, memory } = await startCrew(program, threads, wanted);
      const store = memory ? sharedStore(memory) : remoteStore(crew[0]);
      return new WasmBackend(program, variant, layout, crew, store);
    }),
  peaks: ({ threads = 1, variant } = {}) => wasmPeaks(threads, variant),
};

class WasmBackend implements Backend {
  readonly name = 'wasm';
  readonly detail: WasmVariant;
  readonly threads: number;
  readonly arenaBytes: number;
  private readonly program: Program;
  private readonly layout: Layout;
  private readonly crew: readonly Thread[];
  private readonly store: Store;

  constructor(
    program: Program,
    detail: WasmVariant,
    layout: Layout,
    crew: readonly Thread[],
    store: Store,
  ) {
    this.program = program;
    this.detail = detail;
    this.threads = crew.length;
    this.arenaBytes = plannedBytes(program, crew.length);
    this.layout = layout;
    this.crew = crew;
    this.store = store;
    for (const entry of layout.entries) store.write(entry.address, entry.words);
    program.slots.forEach((slot, index) => {
      const contents = loadedContents(slot);
      if (contents) this.write(index, contents);
    });
  }

  write(slot: number, data: HostData): void {
    this.store.write(this.layout.arena + this.program.slots[slot].offset, hostWords(data));
  }

  async run(entry: number): Promise<void> {
    await this.runWords(this.layout.entries[entry].address);
  }

  async read(slot: number): Promise<HostData> {
    const { type, offset, bytes } = this.program.slots[slot];
    return hostArray(type, await this.store.read(this.layout.arena + offset, bytes));
  }

  async profile(entry: number): Promise<readonly number[]> {
    const encoded = splitSteps(this.layout.entries[entry].words);
    const milliseconds: number[] = [];
    let next = 0;
    for (const { op } of this.program.entries[entry].steps) {
      if (opNamed(op).view) {
        milliseconds.push(0);
        continue;
      }
      this.store.write(this.layout.singleStep, encoded[next++]);
      milliseconds.push(await this.runWords(this.layout.singleStep));
    }
    return milliseconds;
  }

  async dispose(): Promise<void> {
    await endAll(this.crew);
  }

  /**
   * Runs encoded steps on all threads; milliseconds of the slowest. When one fails the others would wait for
   * it in a barrier for ever: they are ended by `dispose`, which follows.
   */
  private async runWords(words: number): Promise<number> {
    const replies = await Promise.all(
      this.crew.map((thread) => thread.request({ kind: 'run', words })),
    );
    return Math.max(...replies.map((reply) => (reply.kind === 'done' ? reply.milliseconds : 0)));
  }
}
