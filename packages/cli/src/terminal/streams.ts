/**
 * The standard streams of the process; nothing else writes to them.
 *
 * A stream is lost when nobody reads it any more (a closed pipe, a terminal that went away) or when
 * its device takes no more (a full disk). Writing to a lost stream does nothing: what a loss means is
 * up to whoever watches. Pipes are written without waiting for their reader; where much is written,
 * `caughtUp` waits, so that what a slow reader has not read takes bounded memory.
 */
import type { Writable } from 'node:stream';
import { isatty } from 'node:tty';

export type StreamName = 'stdout' | 'stderr';

export interface Loss {
  readonly stream: StreamName;
  readonly error: NodeJS.ErrnoException;
  /** Whoever read it has gone; otherwise the device failed. */
  readonly isUnread: boolean;
}

/** Bytes that may wait for a reader: hours of what is said to people, seconds of JSON lines. */
const BACKLOG_BYTES = 1e6;

/** What the system says of a pipe or terminal without its other end; EOF is Windows' word. */
const UNREAD = ['EPIPE', 'EIO', 'ECONNRESET', 'EOF'];

export function writeOut(text: string): void {
  process.stdout.write(text);
}

export function writeError(text: string): void {
  process.stderr.write(text);
}

/** stdout where it is a terminal, for what moves a cursor; null elsewhere. */
export function terminal(): NodeJS.WritableStream | null {
  return process.stdout.isTTY ? process.stdout : null;
}

/** Calls `onLoss` once for each stream that is lost. Without it, a loss is an uncaught error. */
export function watchStreams(onLoss: (loss: Loss) => void): void {
  const lost = new Set<StreamName>();
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].on('error', (error: NodeJS.ErrnoException) => {
      if (lost.has(name)) return;
      lost.add(name);
      onLoss({ stream: name, error, isUnread: UNREAD.includes(error.code ?? '') });
    });
  }
}

/**
 * Remembers which standard streams are terminals now; what it returns tells whether one of them has
 * gone. Node (20.20) aborts where it cannot put a terminal's modes back: end such a process by a signal.
 */
export function watchTerminals(
  isTerminal: (descriptor: number) => boolean = isatty,
): () => boolean {
  const were = [0, 1, 2].filter(isTerminal);
  return () => !were.every(isTerminal);
}

/** Resolves when the reader of `stream` has read all but a little, or is gone, or `signal` aborts. */
export async function caughtUp(
  signal?: AbortSignal,
  stream: Writable = process.stdout,
): Promise<void> {
  if (stream.writableLength <= BACKLOG_BYTES || signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      for (const event of ENDS_OF_WAITING) stream.off(event, done);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    for (const event of ENDS_OF_WAITING) stream.once(event, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

const ENDS_OF_WAITING = ['drain', 'error', 'close'] as const;
