/**
 * Files of one export beside their places until all of them are good: then they are moved there
 * together, so that an export that fails or is interrupted leaves an earlier one whole.
 */
import { Garbage } from '@thimble/native';
import { renameSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileError, makeFolder, replaceFile, writeAll } from '../files.js';

export class Staging {
  private readonly folder: string;
  private readonly staged = new Map<string, string>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Writes a file in parts; where it is until `commit`, and its bytes.
   *
   * @param file path in the folder
   */
  async write(
    file: string,
    parts: Iterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly path: string; readonly bytes: number }> {
    const path = `${join(this.folder, file)}.unchecked`;
    this.staged.set(file, path);
    try {
      makeFolder(dirname(path));
    } catch (error) {
      throw fileError(dirname(path), 'a folder that can be written to', error);
    }
    let bytes = 0;
    await replaceFile(path, async (descriptor) => {
      const garbage = new Garbage();
      for (const part of parts) {
        writeAll(descriptor, part);
        bytes += part.byteLength;
        garbage.dropped(part.byteLength);
        await setImmediate(); // lets Ctrl-C in
        signal.throwIfAborted();
      }
    });
    return { path, bytes };
  }

  /** Moves every file to its place. */
  commit(): void {
    for (const [file, path] of this.staged) {
      renameSync(path, join(this.folder, file));
      this.staged.delete(file);
    }
  }

  /** Removes what was not moved, and folders that it leaves empty. */
  discard(): void {
    for (const path of this.staged.values()) {
      rmSync(path, { force: true });
      removeEmpty(dirname(path));
    }
    if (this.staged.size > 0) removeEmpty(this.folder);
  }
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It holds something.
  }
}
