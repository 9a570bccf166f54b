/**
 * The WebAssembly executor: the kernels of kernels/ on one or more worker threads over one memory.
 *
 * Every thread is a worker, also the only one, so the caller's event loop is never blocked. Where
 * memory cannot be shared (a page that is not cross-origin isolated) there is one thread, whatever
 * was asked for. Results have the same bits for any number of threads; they differ in the last
 * bits between `simd128` and `relaxed-simd128`, which fuses multiply and add.
 */
import { ExecutorError } from '../../errors.js';
import { opNamed } from '../../ops/index.js';
import { entryNamed, plannedBytes, type Program, type Slot } from '../../program.js';
import {
  checkedThreads,
  expectIdle,
  hostArray,
  HostTable,
  hostWords,
  type Executor,
  type ExecutorKind,
  type ExecutorState,
  type HostData,
  type LoadOptions,
} from '../executor.js';
import { layOut, splitSteps, type EncodedEntry, type Layout } from './layout.js';
import { compileKernels, kernelsUnavailable, type WasmVariant } from './module.js';
import { canShareMemory, remoteStore, sharedStore, type HostWords, type Store } from './store.js';
import { Thread } from './thread.js';

export { wasmVariants, type WasmVariant } from './module.js';

export interface WasmLoadOptions extends LoadOptions {
  /** Default: the fastest that this engine can run. */
  readonly variant?: WasmVariant;
}

export interface WasmExecutorKind extends ExecutorKind {
  load(program: Program, options?: WasmLoadOptions): Promise<Executor>;
}

const MAX_THREADS = 64;

export const wasmExecutor: WasmExecutorKind = {
  name: 'wasm',
  unavailable: kernelsUnavailable,
  load: async (program, options = {}) => {
    const { module, variant } = await compileKernels(options.variant);
    const shared = canShareMemory();
    const threads = shared ? checkedThreads('wasm', options.threads ?? 1, MAX_THREADS) : 1;
    const layout = layOut(program, threads);
    const memory = shared ? allocate(layout.pages) : null;
    const crew = Array.from({ length: threads }, () => new Thread());
    try {
      await startAll(crew, layout, module, memory, program.scratchBytes);
    } catch (error) {
      await endAll(crew);
      throw error;
    }
    const store = memory ? sharedStore(memory) : remoteStore(crew[0]);
    return new WasmExecutor(program, variant, layout, crew, store);
  },
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

async function startAll(
  crew: readonly Thread[],
  layout: Layout,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory | null,
  scratchBytes: number,
): Promise<void> {
  const starts = crew.map((worker, thread) =>
    worker.request({
      kind: 'start',
      module,
      memory,
      pages: layout.pages,
      thread,
      threads: crew.length,
      arena: layout.arena,
      barrier: layout.barrier,
      context: layout.contexts[thread],
      stackTop: layout.stackTops[thread],
      scratch: layout.scratches[thread],
      scratchBytes,
    }),
  );
  await Promise.all(starts);
}

async function endAll(crew: readonly Thread[]): Promise<void> {
  await Promise.all(crew.map((thread) => thread.end()));
}

function allocate(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (error) {
    throw new ExecutorError({
      where: 'executor wasm',
      expected: `${String(pages * 64)} KiB of memory`,
      got: error instanceof Error ? error.message : 'a refusal',
      todo: 'Use a smaller batch or model, or close other programs',
    });
  }
}
