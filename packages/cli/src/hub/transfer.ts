/**
 * One file of a model into the cache: continued where it broke off, checked, then given its name.
 *
 * The bytes go to `<blob>.thimble.incomplete`, which outlives the process; the next attempt asks
 * for the rest (`Range`). A file is only ever named after the checksum that its bytes were found to
 * have. The checksum is SHA-256 for large files and git's SHA-1 of a blob for the others.
 */
import { DownloadError, megabytes } from '@thimble/core';
import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolder, writeAll } from '../host/files.js';
import type { HubCache } from './cache.js';
import { noRoom } from './disk.js';
import type { HubReference } from './reference.js';
import { bodyOf, isTemporary, request } from './requests.js';
import type { HubSettings } from './settings.js';

/** A file as the hub lists it at a commit. */
export interface HubFile {
  readonly path: string;
  readonly bytes: number;
  readonly hash: 'sha256' | 'git';
  readonly checksum: string;
}

export interface Transfer {
  readonly settings: HubSettings;
  readonly reference: HubReference;
  readonly cache: HubCache;
  readonly file: HubFile;
  /** Where the file is to be had; asked for when it is needed. */
  readonly address: () => Promise<URL>;
  /** Bytes that are there now. */
  readonly onProgress: (done: number) => void;
  readonly onWait: (holder: string) => void;
}

/** Attempts in a row that bring next to nothing. */
const FRUITLESS = 4;
/** Less is no download: 346 MB would take four days. */
const LEAST_BYTES_PER_SECOND = 1000;

/** Brings the file's bytes into the cache. Throws DownloadError; what came is kept. */
export async function fetchBlob(transfer: Transfer): Promise<void> {
  const { cache, file, onWait } = transfer;
  const blob = cache.blob(file.checksum);
  if (isWhole(blob, file)) return;
  makeFolder(dirname(blob));
  await cache.locked(file.checksum, onWait, async () => {
    if (isWhole(blob, file)) return; // another process had it meanwhile
    checkRoom(transfer);
    const resumed = await receive(transfer);
    if (resumed === 'wrong') await receive(transfer); // a damaged part from before; it is gone now
  });
}

function isWhole(path: string, { bytes }: HubFile): boolean {
  return statSync(path, { throwIfNoEntry: false })?.size === bytes;
}

/** A file that grows, and the hash of what it has. */
interface Part {
  readonly descriptor: number;
  hash: Hash;
  size: number;
  /** Bytes that came in all attempts, those of parts that were begun again too. */
  received: number;
}

/** `wrong`: a part from before spoiled the checksum and was removed. Throws when fresh bytes do. */
async function receive(transfer: Transfer): Promise<'right' | 'wrong'> {
  const { cache, file } = transfer;
  const path = cache.incomplete(file.checksum);
  const part = await openPart(path, file);
  const before = part.size;
  try {
    await receiveRest(transfer, part);
    fsyncSync(part.descriptor);
  } finally {
    closeSync(part.descriptor);
  }
  const found = part.hash.digest('hex');
  if (found === file.checksum) {
    renameSync(path, cache.blob(file.checksum));
    return 'right';
  }
  rmSync(path, { force: true });
  if (before > 0) return 'wrong';
  throw new DownloadError({
    where: `${transfer.reference.name}, ${file.path}`,
    expected: `${file.hash === 'git' ? 'git checksum' : 'SHA-256'} ${file.checksum}`,
    got: found,
    todo: 'The bytes were changed on the way and are removed; try again, or another network',
  });
}

/** What is there of the file, to be continued; a link, or a file with other names, is none and goes. */
async function openPart(path: string, file: HubFile): Promise<Part> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const isOwn = stat?.isFile() === true && stat.nlink === 1 && stat.size <= file.bytes;
  if (stat && !isOwn && !stat.isDirectory()) rmSync(path, { force: true });
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW);
  try {
    const { hash, size } = await hashed(descriptor, file);
    return { descriptor, hash, size, received: 0 };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** The hash of what a part has. */
async function hashed(
  fd: number,
  file: HubFile,
): Promise<{ readonly hash: Hash; readonly size: number }> {
  const hash = newHash(file);
  let size = 0;
  const parts = createReadStream('', { fd, autoClose: false, start: 0 }) as AsyncIterable<Buffer>;
  for await (const chunk of parts) {
    hash.update(chunk);
    size += chunk.byteLength;
  }
  return { hash, size };
}

/** Attempts until the last byte; a pause grows while none comes farther than all before. */
async function receiveRest(transfer: Transfer, part: Part): Promise<void> {
  const { settings, file } = transfer;
  let farthest = part.size;
  for (let fruitless = 0; part.size < file.bytes;) {
    const address = await transfer.address(); // which is asked for several times, too
    try {
      await attempt(transfer, part, address);
    } catch (error) {
      fruitless = part.size - farthest >= leastBytes(settings) ? 0 : fruitless + 1;
      farthest = Math.max(farthest, part.size);
      if (!isTemporary(error) || fruitless === FRUITLESS) throw error;
      await sleep(settings.retryMs * 2 ** fruitless);
    }
  }
}

/** Bytes that an attempt has to bring while it would be given up for silence. */
function leastBytes({ stallMs }: HubSettings): number {
  return (LEAST_BYTES_PER_SECOND * stallMs) / 1000;
}

async function attempt(transfer: Transfer, part: Part, address: URL): Promise<void> {
  const { settings, reference, file, onProgress } = transfer;
  const ended = new AbortController();
  let before = part.received;
  const watch = setInterval(() => {
    const came = part.received - before;
    if (came < leastBytes(settings)) ended.abort(tooSlow(transfer, came));
    before = part.received;
  }, settings.stallMs);
  try {
    const response = await request(settings, reference, address, {
      headers: {
        'accept-encoding': 'identity',
        ...(part.size > 0 ? { range: `bytes=${String(part.size)}-` } : {}),
      },
      signal: ended.signal,
    });
    if (part.size > 0 && !continues(response, part)) restart(part, file);
    if (response.status === 416) throw tooShort(transfer, 0);
    checkLength(transfer, part, response);
    onProgress(part.size);
    for await (const chunk of bodyOf(settings, reference, response)) {
      if (part.size + chunk.byteLength > file.bytes) throw tooLong(transfer, part);
      writeAll(part.descriptor, chunk);
      part.hash.update(chunk);
      part.size += chunk.byteLength;
      part.received += chunk.byteLength;
      onProgress(part.size);
    }
  } finally {
    clearInterval(watch);
    ended.abort();
  }
  if (part.size < file.bytes) throw tooShort(transfer, part.size);
}

function continues(response: Response, { size }: Part): boolean {
  const range = response.headers.get('content-range') ?? '';
  return response.status === 206 && range.startsWith(`bytes ${String(size)}-`);
}

function restart(part: Part, file: HubFile): void {
  ftruncateSync(part.descriptor, 0);
  part.hash = newHash(file);
  part.size = 0;
}

function newHash({ hash, bytes }: HubFile): Hash {
  if (hash === 'sha256') return createHash('sha256');
  return createHash('sha1').update(`blob ${String(bytes)}\0`);
}

/** What is announced is checked before anything is written. */
function checkLength(transfer: Transfer, part: Part, response: Response): void {
  const announced = response.headers.get('content-length');
  const encoding = response.headers.get('content-encoding') ?? 'identity';
  if (announced === null || encoding !== 'identity') return;
  const sum = part.size + Number(announced);
  if (sum > transfer.file.bytes) throw tooLong(transfer, part);
  if (sum !== transfer.file.bytes) throw tooShort(transfer, sum);
}

function tooSlow({ reference, file, settings }: Transfer, bytes: number): DownloadError {
  const parts = {
    where: `${reference.name}, ${file.path}`,
    expected: `at least ${String(leastBytes(settings))} bytes in ${String(settings.stallMs / 1000)} s`,
    got: String(bytes),
    todo: 'Check the network, or try again later: what came is kept and continued',
  };
  return new DownloadError(parts, true);
}

function tooShort({ reference, file }: Transfer, got: number): DownloadError {
  const parts = {
    where: `${reference.name}, ${file.path}`,
    expected: `${String(file.bytes)} bytes`,
    got: String(got),
    todo: 'Try again: what came is kept and continued',
  };
  return new DownloadError(parts, true);
}

function tooLong({ reference, file, cache }: Transfer, part: Part): DownloadError {
  restart(part, file);
  rmSync(cache.incomplete(file.checksum), { force: true });
  return new DownloadError({
    where: `${reference.name}, ${file.path}`,
    expected: `${String(file.bytes)} bytes, as the hub lists it`,
    got: 'more',
    todo: 'The server sends another file than it lists; try again later, or another HF_ENDPOINT',
  });
}

function checkRoom({ cache, file, reference }: Transfer): void {
  const there = statSync(cache.incomplete(file.checksum), { throwIfNoEntry: false })?.size ?? 0;
  const { bavail, bsize } = statfsSync(cache.folder);
  const [needed, free] = [file.bytes - there, bavail * bsize];
  if (needed <= free) return;
  const what = `${megabytes(needed)} for ${file.path}`;
  throw noRoom(reference.name, cache.folder, what, megabytes(free));
}
