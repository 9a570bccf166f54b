/** Writing files so that a crash or a full disk never leaves half of one under its final name. */
import {
  copyFileSync,
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';

/** Calls `write` with an open temporary file beside `path`, then renames it to `path`. */
export async function replaceFile(
  path: string,
  write: (descriptor: number) => void | Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    const descriptor = openSync(temporary, 'w');
    try {
      await write(descriptor);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

export async function replaceWithText(path: string, text: string): Promise<void> {
  await replaceFile(path, (descriptor) => writeAll(descriptor, Buffer.from(text)));
}

/** A copy of `from` under `to`, complete or not there. */
export function replaceWithCopy(from: string, to: string): void {
  const temporary = temporaryName(to);
  copyFileSync(from, temporary);
  renameSync(temporary, to);
}

/** Writes all bytes at the file's position; `writeSync` alone may write fewer. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(descriptor, bytes, done, bytes.length - done);
  }
}

function temporaryName(path: string): string {
  return `${path}.${String(process.pid)}.tmp`;
}
