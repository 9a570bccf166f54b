/** Progress of a download: one bar over all its files, or JSON events about once a second. */
import { megabytes } from '@thimble/core';
import type { Output } from '../terminal/output.js';
import type { Bar } from '../terminal/progress.js';
import type { HubFile } from './transfer.js';

const EVENT_MS = 1000;
const MB = 1e6;

export class DownloadProgress {
  private readonly output: Output;
  private readonly name: string;
  private readonly total: number;
  private readonly bar: Bar;
  private readonly done = new Map<string, number>();
  private readonly started = performance.now();
  /** Bytes that were there before. */
  private before: number | null = null;
  private lastEvent = -Infinity;

  constructor(output: Output, name: string, files: readonly HubFile[]) {
    this.output = output;
    this.name = name;
    this.total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    this.bar = output.bar(`Downloading ${name}`, Math.ceil(this.total / MB));
  }

  /** `done` bytes of `file` are there. */
  update(file: HubFile, done: number): void {
    this.done.set(file.path, done);
    const sum = [...this.done.values()].reduce((total, bytes) => total + bytes, 0);
    this.before ??= sum;
    const seconds = (performance.now() - this.started) / 1000;
    const bytesPerSecond = seconds > 0 ? Math.round((sum - this.before) / seconds) : 0;
    this.bar.update(Math.floor(sum / MB), `MB, ${megabytes(bytesPerSecond)}/s`);
    const now = performance.now();
    if (now - this.lastEvent < EVENT_MS && done < file.bytes) return;
    this.lastEvent = now;
    const { name: model, total } = this;
    this.output.event('download', { model, file: file.path, done: sum, total, bytesPerSecond });
  }

  stop(): void {
    this.bar.stop();
  }
}
