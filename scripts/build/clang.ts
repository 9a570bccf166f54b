/**
 * Clang and lld compiled to WebAssembly, in worker threads: several files compile at once.
 *
 * Each thread loads its own compiler (some seconds of one core and about 300 MB), so there are at
 * most two.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** One run of a tool over files in memory. */
export interface ToolTask {
  readonly tool: 'clang' | 'wasm-ld';
  readonly args: readonly string[];
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** The file that the tool writes. */
  readonly output: string;
}

export type ToolResult = { readonly bytes: Uint8Array } | { readonly printed: string };

const MAX_WORKERS = 2;

/** Runs the tasks and passes on what each wrote; rejects with what the first failing tool printed.
 * */
export async function runTools(
  tasks: readonly ToolTask[],
  done: (task: ToolTask, bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const waiting = [...tasks].reverse();
  const serve = async () => {
    if (waiting.length === 0) return;
    const worker = new Worker(new URL('./clang-worker.js', import.meta.url));
    try {
      for (let task = waiting.pop(); task !== undefined; task = waiting.pop()) {
        const result = await ask(worker, task);
        if ('printed' in result) {
          throw new Error(`${task.tool} ${task.args.join(' ')}\n${result.printed}`);
        }
        await done(task, result.bytes);
      }
    } finally {
      await worker.terminate();
    }
  };
  const workers = Math.min(MAX_WORKERS, availableParallelism(), tasks.length);
  await Promise.all(Array.from({ length: workers }, serve));
}

function ask(worker: Worker, task: ToolTask): Promise<ToolResult> {
  return new Promise((resolve, reject) => {
    worker.removeAllListeners();
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.postMessage(task);
  });
}
