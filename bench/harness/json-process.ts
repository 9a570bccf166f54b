/**
 * A child process that is asked by one line of JSON and answers by one line of JSON. Between
 * requests it waits for input and uses no core.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How to start a process. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Variables beside those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Longest tail of its standard error that an error message shows. */
const SHOWN_CHARACTERS = 2000;

export class JsonProcess {
  private readonly name: string;
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private complaint = '';

  /** @param name what errors call it */
  constructor(name: string, { file, args, environment }: Command) {
    this.name = name;
    this.child = spawn(file, [...args], { env: { ...process.env, ...environment } });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.complaint = (this.complaint + text).slice(-SHOWN_CHARACTERS);
    });
    this.child.on('error', (error) => {
      this.complaint += error.message;
    });
    // A process that has ended is noticed by its missing answer.
    this.child.stdin.on('error', () => undefined);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /**
   * The answer to `request`. Throws Error when the process ends, or answers `{error}` or no object.
   */
  async ask(request: object): Promise<Readonly<Record<string, unknown>>> {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    const line = await this.lines.next();
    if (line.done === true) {
      throw new Error(`${this.name} ended without an answer. ${this.complaint}`);
    }
    const answer: unknown = JSON.parse(line.value);
    if (!isRecord(answer) || answer['error'] !== undefined) {
      throw new Error(`${this.name} failed: ${line.value}`);
    }
    return answer;
  }

  /** Ends its input and waits until it has gone. */
  async close(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin.end();
    await gone;
  }
}

/** `answer[key]` as numbers. Throws Error when it is something else. */
export function numbersIn(answer: Readonly<Record<string, unknown>>, key: string): number[] {
  const value = answer[key];
  const list: readonly unknown[] = Array.isArray(value) ? value : [];
  const numbers = list.filter((item) => typeof item === 'number');
  if (list.length > 0 && numbers.length === list.length) return numbers;
  throw new Error(`expected numbers as "${key}", got ${JSON.stringify(value)}`);
}

/** `answer[key]` as one number. Throws Error when it is something else. */
export function numberIn(answer: Readonly<Record<string, unknown>>, key: string): number {
  const value = answer[key];
  if (typeof value === 'number') return value;
  throw new Error(`expected a number as "${key}", got ${JSON.stringify(value)}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
