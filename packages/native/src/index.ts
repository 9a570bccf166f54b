/**
 * The native executor: the kernels of kernels/ compiled for this machine, on a pool of threads
 * inside a Node addon.
 *
 * A run happens outside the JavaScript thread, so the event loop is never blocked. Results have the
 * same bits for any number of threads; they differ in the last bits between variants, whose vectors
 * differ in width.
 */
import {
  checkedThreads,
  encodeEntry,
  entryNamed,
  ExecutorError,
  expectIdle,
  hostArray,
  HostTable,
  hostWords,
  opNamed,
  peakMeter,
  plannedBytes,
  type Executor,
  type ExecutorKind,
  type ExecutorState,
  type HostData,
  type LoadOptions,
  type PeakMeter,
  type PeakRate,
  type Program,
} from '@thimble/core';
import { requireAddon, tryAddon, type Addon, type Engine, type NativeVariant } from './addon.js';

export type { NativeVariant } from './addon.js';
export { Garbage, returnFreedMemory } from './garbage.js';

export interface NativeLoadOptions extends LoadOptions {
  /** Default: the fastest that this machine can run. */
  readonly variant?: NativeVariant;
}

export interface NativeExecutorKind extends ExecutorKind {
  load(program: Program, options?: NativeLoadOptions): Promise<Executor>;
  peaks(options?: NativeLoadOptions): Promise<PeakMeter>;
}

/** As in src/engine.h. */
const MAX_THREADS = 256;

export const native: NativeExecutorKind = {
  name: 'native',
  unavailable: () => {
    const addon = tryAddon();
    return Promise.resolve(typeof addon === 'string' ? addon : null);
  },
  load: async (program, options = {}) => {
    const addon = requireAddon();
    const variant = checkedVariant(options.variant ?? addon.variants[0], addon);
    return new NativeExecutor(
      addon,
      program,
      checkedThreads('native', options.threads ?? 1, MAX_THREADS),
      variant,
    );
  },
  peaks: async (options = {}) => {
    const addon = requireAddon();
    const variant = checkedVariant(options.variant ?? addon.variants[0], addon);
    const threads = checkedThreads('native', options.threads ?? 1, MAX_THREADS);
    const rate: PeakRate = (floats, repeats) =>
      addon.measurePeak(variant, threads, floats, repeats);
    return peakMeter(threads, rate, () => Promise.resolve());
  },
};

/** Variants that this machine can run, fastest first; none where the addon is absent. */
export function nativeVariants(): readonly NativeVariant[] {
  const addon = tryAddon();
  return typeof addon === 'string' ? [] : addon.variants;
}

class NativeExecutor implements Executor {
  readonly name = 'native';
  readonly detail: NativeVariant;
  readonly threads: number;
  readonly program: Program;
  readonly arenaBytes: number;
  private readonly engine: Engine;
  private readonly table: HostTable;
  /** Entry → index in the engine. */
  private readonly entries: ReadonlyMap<string, number>;
  /** The run under way, with its outcome taken away; null when there is none. */
  private current: Promise<void> | null = null;
  private disposed = false;

  constructor(addon: Addon, program: Program, threads: number, variant: NativeVariant) {
    this.program = program;
    this.threads = threads;
    this.detail = variant;
    this.arenaBytes = plannedBytes(program, threads);
    this.table = new HostTable(program);
    const engine = openEngine(addon, program, threads, variant);
    this.engine = engine;
    this.entries = new Map(
      program.entries.map((entry) => [entry.name, engine.addEntry(encodeEntry(program, entry))]),
    );
    for (const slot of program.slots) {
      if (slot.fill !== undefined && slot.fill !== 0) {
        this.engine.write(slot.offset, hostArray(slot.type).fill(slot.fill));
      }
    }
  }

  write(name: string, data: HostData): void {
    expectIdle(`write of ${name}`, this.state);
    const slot = this.table.slotFor(name, data);
    this.engine.write(slot.offset, hostWords(data));
  }

  async run(entry: string): Promise<void> {
    const index = this.entryIndex(entry);
    await this.exclusively(`run of ${entry}`, () => this.engine.run(index));
  }

  async read(name: string): Promise<HostData> {
    expectIdle(`read of ${name}`, this.state);
    const slot = this.table.slot(name);
    const data = hostArray(slot.type);
    this.engine.read(slot.offset, data);
    return data;
  }

  /** A view has no kernel and takes no time. */
  async profile(entry: string): Promise<readonly number[]> {
    const index = this.entryIndex(entry);
    const times = await this.exclusively(`profile of ${entry}`, () => this.engine.profile(index));
    let kernel = 0;
    return entryNamed(this.program, entry).steps.map((step) =>
      opNamed(step.op).view ? 0 : times[kernel++],
    );
  }

  /** Waits for the run under way. */
  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    await this.current;
    this.engine.dispose();
  }

  private async exclusively<T>(what: string, work: () => Promise<T>): Promise<T> {
    expectIdle(what, this.state);
    const working = work();
    const settled = () => {
      this.current = null;
    };
    this.current = working.then(settled, settled);
    return working;
  }

  private entryIndex(name: string): number {
    return this.entries.get(entryNamed(this.program, name).name) ?? -1;
  }

  private get state(): ExecutorState {
    if (this.disposed) return 'disposed';
    return this.current === null ? 'idle' : 'running';
  }
}

function openEngine(
  addon: Addon,
  program: Program,
  threads: number,
  variant: NativeVariant,
): Engine {
  const bytes = plannedBytes(program, threads);
  try {
    return new addon.Engine(program.arenaBytes, program.scratchBytes, threads, variant);
  } catch (error) {
    throw new ExecutorError({
      where: 'executor native',
      expected: `${String(bytes)} bytes of memory and ${String(threads)} threads`,
      got: error instanceof Error ? error.message : String(error),
      todo: 'Use fewer threads, a smaller batch or a smaller model',
    });
  }
}

function checkedVariant(variant: NativeVariant, addon: Addon): NativeVariant {
  if (addon.variants.includes(variant)) return variant;
  throw new ExecutorError({
    where: 'executor native, option variant',
    expected: `one of ${addon.variants.join(', ')}`,
    got: variant,
    todo: 'Leave the option out: the fastest variant of this machine is the default',
  });
}
