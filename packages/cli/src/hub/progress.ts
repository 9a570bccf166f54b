/** Progress of a download over all its files: an event about once a second. */
import type { Caller } from '../events/caller.js';
import type { HubFile } from './transfer.js';

const EVENT_MS = 1000;

/** Files of a model are on their way from the hub. */
export interface DownloadEvent {
  readonly event: 'download';
  /** `owner/name`. */
  readonly model: string;
  /** The file that grows. */
  readonly file: string;
  /** Bytes of all files that are there, and that there will be. */
  readonly done: number;
  readonly total: number;
  readonly bytesPerSecond: number;
}

export class DownloadProgress {
  private readonly caller: Caller<DownloadEvent>;
  private readonly name: string;
  private readonly total: number;
  private readonly done = new Map<string, number>();
  private readonly started = performance.now();
  /** Bytes that were there before. */
  private before: number | null = null;
  private lastEvent = -Infinity;

  constructor(caller: Caller<DownloadEvent>, name: string, files: readonly HubFile[]) {
    this.caller = caller;
    this.name = name;
    this.total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** `bytes` of `file` are there. */
  update(file: HubFile, bytes: number): void {
    this.done.set(file.path, bytes);
    const done = [...this.done.values()].reduce((total, each) => total + each, 0);
    this.before ??= done;
    const seconds = (performance.now() - this.started) / 1000;
    const bytesPerSecond = seconds > 0 ? Math.round((done - this.before) / seconds) : 0;
    const now = performance.now();
    if (now - this.lastEvent < EVENT_MS && bytes < file.bytes) return;
    this.lastEvent = now;
    const { name: model, total } = this;
    this.caller.tell({
      event: 'download',
      ...{ model, file: file.path, done, total, bytesPerSecond },
    });
  }
}
