/** Programs run in a process of its own (program-process.js), which may crash or hang. */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { HostData } from '@thimble/core';

/** What is run: the file of a program, what is written to it, and its entries in order. */
export interface ProgramTask {
  readonly file: Uint8Array;
  readonly persistent: Readonly<Record<string, HostData>>;
  readonly runs: readonly Run[];
  /** Whether it also runs as WebAssembly, whose threads take a hundred times as long to start. */
  readonly wasm: boolean;
}

export interface Run {
  readonly entry: string;
  /** By the names of the host. */
  readonly inputs: Readonly<Record<string, HostData>>;
  /** Names to read afterwards. */
  readonly outputs: readonly string[];
}

/** An executor with one of its variants. */
export interface Where {
  readonly name: string;
  readonly threads: number;
}

/** Results by the number of their run and their name. */
export type Results = Readonly<Record<string, readonly number[]>>;

/** What the process says: for each place that it begins with, what became of it; then that it is done. */
export type Answer =
  | { readonly kind: 'begun'; readonly where: Where }
  | { readonly kind: 'results'; readonly where: Where; readonly results: Results }
  | {
      readonly kind: 'failed';
      readonly where: Where;
      readonly typed: boolean;
      readonly message: string;
    }
  | { readonly kind: 'done' };

export interface Outcome {
  readonly answers: readonly Answer[];
  /** What ended it before it was done; null when nothing did. */
  readonly end: string | null;
}

/**
 * Nothing said for so long is a hang: a program here runs for milliseconds, three threads that wait for each
 * other on two busy cores for up to two seconds, or five.
 */
const HANG_MS = 20_000;
/** Before the first word: a process that starts on a busy machine, or under a sanitizer. */
const START_MS = 60_000;
const PROCESS = fileURLToPath(new URL('program-process.js', import.meta.url));

export class ProgramRunner {
  private child: ChildProcess | null = null;

  async run(task: ProgramTask): Promise<Outcome> {
    this.child ??= started();
    const outcome = await conversation(this.child, task);
    if (outcome.end !== null) {
      this.child.kill('SIGKILL');
      this.child = null;
    }
    return outcome;
  }
}

/** It ends with this process, and does not keep it. */
function started(): ChildProcess {
  const child = fork(PROCESS, { serialization: 'advanced', stdio: 'ignore' });
  child.unref();
  child.channel?.unref();
  return child;
}

function conversation(child: ChildProcess, task: ProgramTask): Promise<Outcome> {
  return new Promise((resolve) => {
    const answers: Answer[] = [];
    const at = () => {
      const last = answers.findLast((answer) => answer.kind === 'begun');
      return last ? `${last.where.name}, ${String(last.where.threads)} threads` : 'the start';
    };
    const settle = (end: string | null) => {
      clearTimeout(timer);
      child.off('message', hear);
      child.off('exit', exited);
      child.channel?.unref();
      resolve({ answers, end });
    };
    const hangs = () => {
      settle(`hangs at ${at()}`);
    };
    const hear = (answer: Answer) => {
      clearTimeout(timer);
      timer = setTimeout(hangs, HANG_MS);
      answers.push(answer);
      if (answer.kind === 'done') settle(null);
    };
    const exited = (code: number | null, signal: string | null) => {
      settle(`ended by ${signal ?? String(code)} at ${at()}`);
    };
    let timer = setTimeout(hangs, START_MS);
    child.on('message', hear);
    child.on('exit', exited);
    child.channel?.ref();
    child.send(task);
  });
}
