/**
 * Room on a disk for what a run is going to write, looked at before the first step. Free bytes are what
 * the system says. A quota or a limit on the size of a file (ulimit -f, FAT) shows only in writing, and
 * a file that is only given its length takes no room: one as large as the largest is really written.
 * A little of it stays while the run goes on: on a disk that others have filled it takes the record of
 * the end.
 */
import { FileError, megabytes } from '@thimble/core';
import { statfsSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileError, replaceFile, writeAll } from './files.js';

export interface WrittenBytes {
  /** Of everything, at the moment when most of it is there. */
  readonly bytes: number;
  readonly largestFile: number;
}

/** In the folder; whoever has it removes it. */
export const ROOM_FILE = '.thimble-room';
/** What stays of it: more than the record of a run takes. */
const KEPT_BYTES = 1 << 18;
const CHUNK = new Uint8Array(1 << 20);

/** Record, labels and ranks, and what is kept. */
const RECORD_BYTES = 3e5;

/**
 * What a run needs: at the end of an epoch its weights, the best ones and its state beside those of the epoch before,
 * and whole copies that are kept. All in bytes.
 *
 * @param kept copies by the end
 * @param replaced of an earlier run, which goes with the first epoch
 */
export function writtenBytes(
  checkpoint: number,
  state: number,
  epochs: number,
  kept: number,
  replaced: number,
): WrittenBytes {
  const first = 2 * checkpoint + 2 * state;
  const then = epochs > 1 ? 4 * checkpoint + 2 * state - replaced : 0;
  const bytes = Math.max(first, then) + RECORD_BYTES + kept * keptBytes(checkpoint, state);
  return { bytes, largestFile: Math.max(checkpoint, state) };
}

/** What a run that goes on needs: its next save beside the one that is there, and copies to come. All in bytes. */
export function resumedBytes(checkpoint: number, state: number, kept: number): WrittenBytes {
  const bytes = 2 * checkpoint + state + RECORD_BYTES + kept * keptBytes(checkpoint, state);
  return { bytes, largestFile: Math.max(checkpoint, state) };
}

/** Of a kept copy: its weights, the best ones and the state, once the run itself has moved on. */
function keptBytes(checkpoint: number, state: number): number {
  return 2 * checkpoint + state + RECORD_BYTES;
}

/** Leaves ROOM_FILE. Throws FileError, or the reason of `signal`; then it leaves nothing. */
export async function takeRoom(
  folder: string,
  needed: WrittenBytes,
  signal: AbortSignal,
): Promise<void> {
  const free = freeBytes(folder);
  if (needed.bytes > free) throw noRoom(folder, needed, `${megabytes(free)} free`);
  const path = join(folder, ROOM_FILE);
  try {
    await replaceFile(path, async (descriptor) => {
      for (let left = needed.largestFile; left > 0; left -= CHUNK.byteLength) {
        writeAll(descriptor, CHUNK.subarray(0, left));
        await setImmediate(); // lets a signal in
        signal.throwIfAborted();
      }
    });
    truncateSync(path, Math.min(KEPT_BYTES, needed.largestFile));
  } catch (error) {
    const known = fileError(folder, 'room', error);
    throw known instanceof FileError ? noRoom(folder, needed, known.parts.got) : known;
  }
}

function noRoom(folder: string, { bytes, largestFile }: WrittenBytes, got: string): FileError {
  return new FileError({
    where: folder,
    expected: `room for ${megabytes(bytes)}, ${megabytes(largestFile)} of it in one file`,
    got,
    todo: 'Free some, raise the quota or limit (ulimit -f), or choose another --out',
  });
}

/** Infinite where the system does not say. */
function freeBytes(folder: string): number {
  try {
    const { bavail, bsize, blocks } = statfsSync(folder);
    return blocks > 0 ? bavail * bsize : Infinity;
  } catch {
    return Infinity;
  }
}
