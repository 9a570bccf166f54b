/**
 * log.jsonl of a run folder: a line for each update and each epoch, for charts and scripts. Lines are appended as a
 * run goes on, many at a time, and before every save; what a run that goes on does anew is taken out first, so that
 * each update has one line.
 */
import type { Progress, TrainEvent } from '@thimble/core';
import { appendFileSync, existsSync } from 'node:fs';
import { fileError, readText, replaceWithText } from '../host/files.js';

/** Lines that may wait. */
const WAITING = 500;
/** Of some ten million updates. */
const MOST_BYTES = 2e9;

export class RunLog {
  /** Where it lies now: a run may move. */
  private readonly path: () => string;
  private waiting: string[] = [];

  constructor(path: () => string) {
    this.path = path;
  }

  /** Keeps the lines of what a session has done. Throws FileError. */
  async goOnBehind({ step, epoch, isEpochDone }: Progress): Promise<void> {
    const path = this.path();
    if (!existsSync(path)) return;
    const lines = readText(path, 'the log of a run', MOST_BYTES).split('\n');
    const epochs = isEpochDone ? epoch : epoch - 1;
    const kept = lines.filter((line) => isDone(line, step, epochs));
    await replaceWithText(path, kept.map((line) => `${line}\n`).join(''));
  }

  /** Throws FileError. */
  add({ event, ...fields }: TrainEvent): void {
    this.waiting.push(`${JSON.stringify({ event, ...fields })}\n`);
    if (this.waiting.length >= WAITING) this.flush();
  }

  /** Throws FileError. */
  flush(): void {
    const text = this.waiting.join('');
    this.waiting = [];
    try {
      if (text !== '') appendFileSync(this.path(), text);
    } catch (error) {
      throw fileError(this.path(), 'a file that can be written', error);
    }
  }
}

function isDone(line: string, steps: number, epochs: number): boolean {
  try {
    const { event, step, epoch } = JSON.parse(line) as Partial<TrainEvent>;
    if (step === undefined || epoch === undefined) return false;
    return event === 'step' ? step <= steps : epoch <= epochs;
  } catch {
    return false; // the end of a line that was being written
  }
}
