/**
 * What a command says, in one of two forms: lines for people, or with --json one JSON object per
 * line on stdout and nothing else there. Notes (an absent addon, a replaced classifier) go to
 * stderr in both. Names from elsewhere cannot write to the terminal but as text (`terminal.ts`).
 */
import { Bar } from './progress.js';
import { caughtUp, terminal, writeError, writeOut } from './streams.js';
import { jsonLine, visible } from './terminal.js';

export class Output {
  readonly json: boolean;

  constructor(json: boolean) {
    this.json = json;
  }

  /** A line for people; with --json nothing. */
  line(text = ''): void {
    if (!this.json) writeOut(`${visible(text)}\n`);
  }

  /** A line for programs; nothing without --json. Numbers that are not finite become null. */
  event(name: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.json) writeOut(`${jsonLine({ event: name, ...fields })}\n`);
  }

  /** A remark beside the result, on stderr. */
  note(text: string): void {
    writeError(`${visible(text)}\n`);
  }

  /** Progress over `total` units: a bar on a terminal, now and then a line elsewhere. */
  bar(title: string, total: number): Bar {
    return new Bar(title, total, this.json ? 'none' : terminal() ? 'bar' : 'lines');
  }

  /** Waits for a slow reader, unless `signal` aborts: for whoever says something again and again. */
  caughtUp(signal?: AbortSignal): Promise<void> {
    return caughtUp(signal);
  }
}
