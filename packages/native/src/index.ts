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
  ExecutorError,
  hostArray,
  hostWords,
  loadChecked,
  loadedContents,
  opNamed,
  peakMeter,
  plannedBytes,
  ThimbleError,
  type Backend,
  type Entry,
  type Executor,
  type ExecutorKind,
  type HostData,
  type LoadOptions,
  type PeakMeter,
  type PeakRate,
  type Program,
} from '@thimble/core';
import { requireAddon, tryAddon, type Addon, type Engine, type NativeVariant } from './addon.js';

export type { NativeVariant } from './addon.js';
export { Garbage, returnFreedMemory } from './garbage.js';

/** How a program is loaded into the addon. */
export interface NativeLoadOptions extends LoadOptions {
  /** Default: the fastest that this machine can run. */
  readonly variant?: NativeVariant;
}

/** The native executor, whose variant may be chosen. */
export interface NativeExecutorKind extends ExecutorKind {
  /** Allocates what the program plans for. Throws ExecutorError where the addon is absent or cannot run it. */
  load(program: Program, options?: NativeLoadOptions): Promise<Executor>;
  peaks(options?: NativeLoadOptions): Promise<PeakMeter>;
}

/** As in src/engine.h. */
const MAX_THREADS = 256;

/** The kernels compiled for this machine, on a pool of threads. */
export const native: NativeExecutorKind = {
  name: 'native',
  unavailable: () => {
    const addon = tryAddon();
    return Promise.resolve(typeof addon === 'string' ? addon : null);
  },
  load: async (program, options = {}) => {
    const addon = requireAddon();
    const variant = checkedVariant(options.variant ?? addon.variants[0], addon);
    const threads = checkedThreads('native', options.threads ?? 1, MAX_THREADS);
    return loadChecked(program, () => new NativeBackend(addon, program, threads, variant));
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

class NativeBackend implements Backend {
  readonly name = 'native';
  readonly detail: NativeVariant;
  readonly threads: number;
  readonly arenaBytes: number;
  private readonly program: Program;
  private readonly engine: Engine;
  /** Index in the engine of every entry. */
  private readonly entries: readonly number[];
  /** The run under way; it never rejects. */
  private current: Promise<unknown> = Promise.resolve();

  constructor(addon: Addon, program: Program, threads: number, variant: NativeVariant) {
    this.program = program;
    this.threads = threads;
    this.detail = variant;
    this.arenaBytes = plannedBytes(program, threads);
    const engine = openEngine(addon, program, threads, variant);
    this.engine = engine;
    this.entries = program.entries.map((entry) => addedEntry(engine, program, entry));
    program.slots.forEach((slot, index) => {
      const contents = loadedContents(slot);
      if (contents) this.write(index, contents);
    });
  }

  write(slot: number, data: HostData): void {
    this.engine.write(this.program.slots[slot].offset, hostWords(data));
  }

  async run(entry: number): Promise<void> {
    await this.noted(this.engine.run(this.entries[entry]));
  }

  read(slot: number): Promise<HostData> {
    const { type, offset } = this.program.slots[slot];
    const data = hostArray(type);
    this.engine.read(offset, data);
    return Promise.resolve(data);
  }

  /** A view has no kernel and takes no time. */
  async profile(entry: number): Promise<readonly number[]> {
    const times = await this.noted(this.engine.profile(this.entries[entry]));
    let kernel = 0;
    return this.program.entries[entry].steps.map(({ op }) =>
      opNamed(op).view ? 0 : times[kernel++],
    );
  }

  /** Waits for the run under way. */
  async dispose(): Promise<void> {
    await this.current;
    this.engine.dispose();
  }

  private noted<T>(run: Promise<T>): Promise<T> {
    this.current = run.catch(() => undefined);
    return run;
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

/** What core has checked the addon takes, unless the two are of different builds. */
function addedEntry(engine: Engine, program: Program, entry: Entry): number {
  try {
    return engine.addEntry(encodeEntry(program, entry));
  } catch (error) {
    engine.dispose();
    if (error instanceof ThimbleError) throw error;
    throw new ExecutorError({
      where: `executor native, entry ${entry.name}`,
      expected: 'words that the kernels know',
      got: error instanceof Error ? error.message : String(error),
      todo: 'Run npm run build: the kernels may be of another version',
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
