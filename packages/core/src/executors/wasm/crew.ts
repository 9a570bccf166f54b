/** The worker threads of one program over one memory: started together, ended together. */
import { ExecutorError } from '../../errors.js';
import type { Program } from '../../program.js';
import { checkedThreads } from '../executor.js';
import { layOut, type Layout } from './layout.js';
import { compileKernels, type WasmVariant } from './module.js';
import { canShareMemory } from './store.js';
import { Thread } from './thread.js';

const MAX_THREADS = 64;

export interface Crew {
  readonly variant: WasmVariant;
  readonly layout: Layout;
  readonly crew: readonly Thread[];
  /** null where memory cannot be shared: the only thread has its own. */
  readonly memory: WebAssembly.Memory | null;
}

/**
 * Starts `threads` threads, one where memory cannot be shared, with the kernels of `wanted` or the
 * fastest. Throws ExecutorError.
 */
export async function startCrew(
  program: Program,
  threads: number,
  wanted?: WasmVariant,
): Promise<Crew> {
  const { module, variant } = await compileKernels(wanted);
  const shared = canShareMemory();
  const count = shared ? checkedThreads('wasm', threads, MAX_THREADS) : 1;
  const layout = layOut(program, count);
  const memory = shared ? allocate(layout.pages) : null;
  const crew = Array.from({ length: count }, () => new Thread());
  try {
    await startAll(crew, layout, module, memory, program.scratchBytes);
  } catch (error) {
    await endAll(crew);
    throw error;
  }
  return { variant, layout, crew, memory };
}

export async function endAll(crew: readonly Thread[]): Promise<void> {
  await Promise.all(crew.map((thread) => thread.end()));
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
