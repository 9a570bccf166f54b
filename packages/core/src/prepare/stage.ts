/**
 * stage: one program at a time on the executor. Blocks of one shape compile to the same program, whose
 * executor is then used again; any other program takes its place, so that no two are in memory.
 */
import type { Executor, ExecutorKind, HostData } from '../executors/executor.js';
import type { Graph } from '../ir/graph.js';
import { elements } from '../ir/types.js';
import { simplify } from '../passes/simplify.js';
import { plan } from '../plan/plan.js';
import { hostSlots, plannedBytes, printProgram, type Program } from '../program.js';
import type { Part } from './cut.js';
import type { PrepareOptions } from './types.js';

export type StageOptions = Pick<PrepareOptions, 'kind' | 'threads' | 'signal' | 'onDropped'>;

export class Stage {
  /** Bytes of the largest program so far. */
  peakBytes = 0;
  private readonly kind: ExecutorKind;
  private readonly threads: number;
  private readonly signal: AbortSignal | undefined;
  private readonly onDropped: ((bytes: number) => void) | undefined;
  /** Bytes that were let go since that was last said. */
  private dropped = 0;
  private current: { readonly key: string; readonly executor: Executor } | null = null;

  constructor({ kind, threads, signal, onDropped }: StageOptions) {
    this.kind = kind;
    this.threads = threads;
    this.signal = signal;
    this.onDropped = onDropped;
  }

  /** An executor with the entries' program, its states zero. Throws the signal's reason when aborted. */
  async load(graphs: Readonly<Record<string, Graph>>): Promise<Executor> {
    this.signal?.throwIfAborted();
    const program = programOf(graphs);
    const key = printProgram(program);
    if (this.current?.key === key) {
      const { executor } = this.current;
      for (const { name, type, role, entry } of program.slots) {
        if (role !== 'state' || entry !== null) continue;
        executor.write(name, new Float32Array(elements(type.shape)));
      }
      return executor;
    }
    await this.dispose();
    const executor = await this.kind.load(program, { threads: this.threads });
    this.peakBytes = Math.max(this.peakBytes, plannedBytes(program, executor.threads));
    this.current = { key, executor };
    return executor;
  }

  /**
   * Runs an entry with those of these inputs that it reads: the gradient of a mean of pixels needs no pixels. Throws the
   * signal's reason when aborted.
   */
  async run(
    executor: Executor,
    entry: string,
    inputs: Readonly<Record<string, HostData>>,
  ): Promise<void> {
    this.signal?.throwIfAborted();
    this.sayDropped();
    const used = hostSlots(executor.program);
    for (const [name, data] of Object.entries(inputs)) {
      if (used.has(`${entry}.${name}`)) this.write(executor, `${entry}.${name}`, data);
    }
    await executor.run(entry);
  }

  /** Writes what the caller mostly lets go then: before `run`, so that it is not there beside it. */
  write(executor: Executor, name: string, data: HostData): void {
    executor.write(name, data);
    this.dropped += data.byteLength;
  }

  /** An output or state, as numbers of its own, which are let go sooner or later. */
  async read(executor: Executor, name: string): Promise<Float32Array> {
    this.sayDropped();
    const data = await executor.read(name);
    this.dropped += data.byteLength;
    return data instanceof Float32Array ? data : Float32Array.from(data);
  }

  async dispose(): Promise<void> {
    await this.current?.executor.dispose();
    this.current = null;
    this.sayDropped();
  }

  /** Not while an argument on the stack still holds them. */
  private sayDropped(): void {
    if (this.dropped > 0) this.onDropped?.(this.dropped);
    this.dropped = 0;
  }
}

/** Writes those parameters of a part that the executor's program reads. */
export function writeParameters(
  stage: Stage,
  executor: Executor,
  part: Part,
  read: (name: string) => HostData,
): void {
  const used = hostSlots(executor.program);
  for (const [name, local] of part.parameters)
    if (used.has(local)) stage.write(executor, local, read(name));
}

/** The program of these entries. */
export function programOf(graphs: Readonly<Record<string, Graph>>): Program {
  return plan(Object.entries(graphs).map(([name, graph]) => ({ name, graph: simplify(graph) })));
}
