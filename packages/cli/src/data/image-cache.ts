/**
 * A cache on the disk of images as far as they are the same in every epoch: 8-bit RGB, to be read instead of decoding
 * and resizing the file.
 *
 *   <folder>/<first digit of key>/<key>    a header of HEADER bytes, then the pixels
 *
 * An entry is called by all that it was made of (`keyOf`), so that a file that has changed has another. It is written
 * beside its place and renamed: any number of processes may use the folder at once. It is not synced: what a power cut
 * leaves of it fails its checksum, is removed and made again.
 *
 * Each of the 16 folders holds a sixteenth of the bytes at most. What was not used since `since` goes for what is new,
 * the least recently used first; where only used ones are left nothing is added: images of one run larger than
 * the cache would only push each other out. Whatever the disk says ends the filling, not the run.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { threadId } from 'node:worker_threads';
import { FileError, ThimbleError, type RawImage } from '@thimble/core';
import {
  fileError,
  isFolder,
  makeFolder,
  openToRead,
  removeQuietly,
  writeAll,
} from '../host/files.js';
import { inOneLine } from '../terminal/terminal.js';
import { FULL_PIXELS } from './decoding.js';

/** Where a cache is; can be sent to another thread. */
export interface CacheSettings {
  readonly folder: string;
  /** That it may have at most. */
  readonly bytes: number;
  /** Milliseconds since 1970: what was used later stays. */
  readonly since: number;
}

/**
 * The cache of this user for a command that begins now: `thimble/images` in XDG_CACHE_HOME or ~/.cache.
 *
 * @param bytes false: none
 */
export function userCache(
  bytes: number | false,
  environment: Readonly<Record<string, string | undefined>>,
): CacheSettings | null {
  if (bytes === false) return null;
  const caches = environment['XDG_CACHE_HOME']?.trim() || join(homedir(), '.cache');
  return { folder: resolve(caches, 'thimble', 'images'), bytes, since: Date.now() };
}

/** File, size and times of an image, and what is made of it. */
export interface CacheSubject {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  /** When anything about the file was changed, the time before included. */
  readonly changedMs: number;
}

/** The name of an entry. @param form all else that decides about its pixels */
export function keyOf({ path, bytes, modifiedMs, changedMs }: CacheSubject, form: string): string {
  const text = JSON.stringify([path, bytes, modifiedMs, changedMs, form]);
  return createHash('sha256').update(text).digest('hex').slice(0, KEY_LENGTH);
}

const KEY_LENGTH = 32;
const SHELVES = 16;
const MAGIC = Buffer.from('THIMBIMG');
/** Magic, width, height, checksum. */
const HEADER = 20;
const MOST_BYTES = HEADER + 3 * FULL_PIXELS;
/** Share of a shelf behind whose filling it is looked through again: other processes fill it too. */
const LOOK_AGAIN = 1 / 8;
/** Share of a shelf that is left when it was swept. */
const SWEPT = 0.9;
/** What others may still want of the disk, a run's saves among them. */
const FREE_BYTES = 1e9;
/** Age of what a process has left that was killed as it wrote. */
const LEFT_MS = 3_600_000;

interface Shelf {
  bytes: number;
  /** Of these, added since it was looked through. */
  added: number;
  isFull: boolean;
}

interface StoredFile {
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
}

export class ImageCache {
  private readonly settings: CacheSettings;
  private readonly shelves = new Map<string, Shelf>();
  private found: string | null = null;

  constructor(settings: CacheSettings) {
    this.settings = settings;
  }

  /** Why nothing more is added; null while there is no reason but its size. */
  get fault(): string | null {
    return this.found;
  }

  /** null for what is not there, or damaged. */
  get(key: string): RawImage | null {
    const path = this.path(key);
    let descriptor: number;
    try {
      descriptor = openToRead(path, 'an image of the cache');
    } catch {
      return null;
    }
    try {
      const { size, mtimeMs } = fstatSync(descriptor);
      const image = size > HEADER && size <= MOST_BYTES ? imageIn(descriptor, size) : null;
      if (image === null) removeQuietly(path);
      else if (mtimeMs < this.settings.since) noteUse(descriptor);
      return image;
    } catch {
      return null;
    } finally {
      closeSync(descriptor);
    }
  }

  /** Keeps an image, where there is room. */
  put(key: string, { width, height, data }: RawImage): void {
    if (this.found !== null) return;
    const bytes = HEADER + data.byteLength;
    try {
      const shelf = this.shelfFor(key.slice(0, 1), bytes);
      if (shelf.isFull) return;
      const header = headerOf(width, height);
      const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      header.writeUInt32LE(checksum(header, pixels), HEADER - 4);
      this.write(this.path(key), [header, pixels]);
      shelf.bytes += bytes;
      shelf.added += bytes;
    } catch (error) {
      this.found = `the cache of images is not filled any more: ${reasonOf(this.settings.folder, error)}`;
    }
  }

  private path(key: string): string {
    return join(this.settings.folder, key.slice(0, 1), key);
  }

  private write(path: string, parts: readonly Uint8Array[]): void {
    const temporary = `${path}.${String(process.pid)}-${String(threadId)}.tmp`;
    try {
      const descriptor = openSync(temporary, 'wx', 0o600);
      try {
        for (const part of parts) writeAll(descriptor, part);
      } finally {
        closeSync(descriptor);
      }
      renameSync(temporary, path);
    } catch (error) {
      removeQuietly(temporary);
      throw error;
    }
  }

  /** The shelf, swept where it has to be. */
  private shelfFor(name: string, bytes: number): Shelf {
    const most = this.settings.bytes / SHELVES;
    const known = this.shelves.get(name);
    const isKnown =
      known !== undefined &&
      (known.isFull || (known.bytes + bytes <= most && known.added + bytes <= most * LOOK_AGAIN));
    if (isKnown) return known;
    const folder = join(this.settings.folder, name);
    makeOwnFolder(this.settings.folder);
    makeOwnFolder(folder);
    requireFree(folder);
    const left = this.swept(folder, most, bytes);
    const shelf = { bytes: left, added: 0, isFull: left + bytes > most };
    this.shelves.set(name, shelf);
    return shelf;
  }

  /** Makes room for `bytes` where it can. Returns the bytes that are there then. */
  private swept(folder: string, most: number, bytes: number): number {
    const files = readdirSync(folder).flatMap((name) => storedFile(join(folder, name)) ?? []);
    let all = files.reduce((sum, file) => sum + file.bytes, 0);
    if (all + bytes <= most) return all;
    const old = files.filter(({ usedMs }) => usedMs < this.settings.since);
    for (const { path, bytes: freed } of old.sort((a, b) => a.usedMs - b.usedMs)) {
      if (all + bytes <= most * SWEPT) break;
      removeQuietly(path);
      all -= freed;
    }
    return all;
  }
}

/** null for what has gone meanwhile; what a killed process has left goes now. */
function storedFile(path: string): StoredFile | null {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile()) return null;
  if (path.endsWith('.tmp') && Date.now() - stats.mtimeMs > LEFT_MS) {
    removeQuietly(path);
    return null;
  }
  return { path, bytes: stats.size, usedMs: stats.mtimeMs };
}

/** For nobody else: decoded photos are as private as the photos. */
function makeOwnFolder(path: string): void {
  if (isFolder(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!isFolder(path)) throw error; // else another process was faster
  }
}

function requireFree(folder: string): void {
  const { bavail, bsize, blocks } = statfsSync(folder);
  if (blocks === 0 || bavail * bsize >= FREE_BYTES) return; // 0: the system does not say
  throw new FileError({
    where: folder,
    expected: 'room that nothing else may need',
    got: `less than ${String(FREE_BYTES / 1e9)} GB free on its disk`,
    todo: 'Free some, or leave the cache out with --no-cache',
  });
}

function noteUse(descriptor: number): void {
  const now = new Date();
  try {
    futimesSync(descriptor, now, now);
  } catch {
    // A cache that cannot be written to: it stays as it is.
  }
}

function headerOf(width: number, height: number): Buffer {
  const header = Buffer.alloc(HEADER);
  MAGIC.copy(header);
  header.writeUInt32LE(width, MAGIC.length);
  header.writeUInt32LE(height, MAGIC.length + 4);
  return header;
}

/** Of all but itself. */
function checksum(header: Buffer, pixels: Uint8Array): number {
  return crc32(pixels, crc32(header.subarray(0, HEADER - 4)));
}

/** null for what is no whole entry. */
function imageIn(descriptor: number, size: number): RawImage | null {
  const file = Buffer.allocUnsafeSlow(size);
  for (let read = 0; read < size;) {
    const more = readSync(descriptor, file, read, size - read, null);
    if (more === 0) return null;
    read += more;
  }
  const [header, data] = [file.subarray(0, HEADER), file.subarray(HEADER)];
  const width = header.readUInt32LE(MAGIC.length);
  const height = header.readUInt32LE(MAGIC.length + 4);
  const isWhole =
    header.subarray(0, MAGIC.length).equals(MAGIC) &&
    data.length === 3 * width * height &&
    header.readUInt32LE(HEADER - 4) === checksum(header, data);
  return isWhole ? { width, height, channels: 3, data } : null;
}

function reasonOf(folder: string, error: unknown): string {
  const known = fileError(folder, 'room', error);
  if (known instanceof ThimbleError) return inOneLine(`${known.parts.got} (${folder})`);
  return inOneLine(`${error instanceof Error ? error.message : String(error)} (${folder})`);
}
