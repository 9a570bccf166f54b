/**
 * Files of one export or merge beside their places until all of them are good: then they are moved
 * there together, so that one that fails or is interrupted leaves an earlier one whole.
 */
import { Garbage } from '@thimble/native';
import { renameSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fileError, makeFolder, removeQuietly, replaceFile, writeAll } from '../host/files.js';

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

  /** Moves every file to its place. Throws FileError. */
  commit(): void {
    for (const [file, path] of this.staged) {
      const to = join(this.folder, file);
      try {
        renameSync(path, to);
      } catch (error) {
        throw fileError(to, 'a file that can be replaced', error);
      }
      this.staged.delete(file);
    }
  }

  /** Removes what was not moved, and folders that it leaves empty. */
  discard(): void {
    for (const path of this.staged.values()) {
      removeQuietly(path);
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
