/**
 * The WebAssembly executor: the kernels of kernels/ on one or more worker threads over one memory.
 *
 * Every thread is a worker, also the only one, so the caller's event loop is never blocked. Where
 * memory cannot be shared (a page that is not cross-origin isolated) there is one thread, whatever
 * was asked for. Results have the same bits for any number of threads; they differ in the last
 * bits between `simd128` and `relaxed-simd128`, which fuses multiply and add.
 */
import { opNamed } from '../../ops/index.js';
import { entryNamed, plannedBytes, type Program, type Slot } from '../../program.js';
import {
  expectIdle,
  hostArray,
  HostTable,
  hostWords,
  type Executor,
  type ExecutorKind,
  type ExecutorState,
  type HostData,
  type LoadOptions,
  type PeakMeter,
} from '../executor.js';
import { endAll, startCrew } from './crew.js';
import { splitSteps, type EncodedEntry, type Layout } from './layout.js';
import { kernelsUnavailable, type WasmVariant } from './module.js';
import { wasmPeaks } from './peaks.js';
import { remoteStore, sharedStore, type HostWords, type Store } from './store.js';
import type { Thread } from './thread.js';

export { wasmVariants, type WasmVariant } from './module.js';

/** Default of `variant`: the fastest that this engine can run. */
export interface WasmLoadOptions extends LoadOptions {
  readonly variant?: WasmVariant;
}

export interface WasmExecutorKind extends ExecutorKind {
  load(program: Program, options?: WasmLoadOptions): Promise<Executor>;
  peaks(options?: WasmLoadOptions): Promise<PeakMeter>;
}

export const wasmExecutor: WasmExecutorKind = {
  name: 'wasm',
  unavailable: kernelsUnavailable,
  load: async (program, { threads = 1, variant: wanted } = {}) => {
    const { variant, layout, crew, memory } = await startCrew(program, threads, wanted);
    const store = memory ? sharedStore(memory) : remoteStore(crew[0]);
    return new WasmExecutor(program, variant, layout, crew, store);
  },
  peaks: ({ threads = 1, variant } = {}) => wasmPeaks(threads, variant),
};

class WasmExecutor implements Executor {
  readonly name = 'wasm';
  readonly detail: WasmVariant;
  readonly threads: number;
  readonly program: Program;
  readonly arenaBytes: number;
  private readonly layout: Layout;
  private readonly crew: readonly Thread[];
  private readonly store: Store;
  private readonly table: HostTable;
  private state: ExecutorState = 'idle';

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
    this.table = new HostTable(program);
    for (const entry of layout.entries) store.write(entry.address, entry.words);
    for (const slot of program.slots) {
      if (slot.fill !== undefined && slot.fill !== 0)
        this.writeSlot(slot, hostArray(slot.type).fill(slot.fill));
    }
  }

  write(name: string, data: HostData): void {
    expectIdle(`write of ${name}`, this.state);
    const slot = this.table.slotFor(name, data);
    this.writeSlot(slot, hostWords(data));
  }

  async run(entry: string): Promise<void> {
    const { address } = this.encoded(entry);
    await this.exclusively(`run of ${entry}`, () => this.runWords(address));
  }

  async read(name: string): Promise<HostData> {
    expectIdle(`read of ${name}`, this.state);
    const slot = this.table.slot(name);
    const bytes = await this.store.read(this.layout.arena + slot.offset, slot.bytes);
    return hostArray(slot.type, bytes);
  }

  async profile(entry: string): Promise<readonly number[]> {
    const encoded = splitSteps(this.encoded(entry).words);
    return this.exclusively(`profile of ${entry}`, async () => {
      const milliseconds: number[] = [];
      let next = 0;
      for (const { op } of entryNamed(this.program, entry).steps) {
        if (opNamed(op).view) {
          milliseconds.push(0);
          continue;
        }
        this.store.write(this.layout.singleStep, encoded[next++]);
        milliseconds.push(await this.runWords(this.layout.singleStep));
      }
      return milliseconds;
    });
  }

  async dispose(): Promise<void> {
    this.state = 'disposed';
    await endAll(this.crew);
  }

  /** Runs encoded steps on all threads; milliseconds of the slowest. A thread that fails ends them
   * all. */
  private async runWords(words: number): Promise<number> {
    try {
      const replies = await Promise.all(
        this.crew.map((thread) => thread.request({ kind: 'run', words })),
      );
      return Math.max(...replies.map((reply) => (reply.kind === 'done' ? reply.milliseconds : 0)));
    } catch (error) {
      // The others would wait for it in a barrier for ever.
      await this.dispose();
      throw error;
    }
  }

  private async exclusively<T>(what: string, work: () => Promise<T>): Promise<T> {
    expectIdle(what, this.state);
    this.state = 'running';
    try {
      return await work();
    } finally {
      if (this.state === 'running') this.state = 'idle';
    }
  }

  private writeSlot(slot: Slot, data: HostWords): void {
    this.store.write(this.layout.arena + slot.offset, data);
  }

  private encoded(name: string): EncodedEntry {
    return this.layout.entries[this.program.entries.indexOf(entryNamed(this.program, name))];
  }
}
