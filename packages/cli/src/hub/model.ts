/**
 * A model of the hub as a folder on this disk: which commit a revision means, which files are
 * needed, and where they are. Only weights in safetensors (whole or in shards), config.json and
 * preprocessor_config.json are fetched.
 *
 * A revision is asked for once and then everything is taken from one commit. Without network the
 * cache answers: at once under --offline, with a note where the hub cannot be reached.
 */
import { DownloadError, megabytes, schema } from '@thimble/core';
import { join } from 'node:path';
import type { Caller } from '../events/caller.js';
import { readText } from '../host/files.js';
import { convertLine, isPickle } from '../weights/pickle.js';
import { parseShardIndex, SHARD_INDEX } from '../weights/shard-index.js';
import { MAX_INDEX_BYTES, readShardIndex } from '../weights/sharded.js';
import { HubCache } from './cache.js';
import { diskError } from './disk.js';
import { DownloadProgress, type DownloadEvent } from './progress.js';
import { isCommit, referenceText, type HubReference } from './reference.js';
import { ask, isTemporary } from './requests.js';
import type { HubSettings } from './settings.js';
import { stoppable } from './stoppable.js';
import { fetchBlob, type HubFile } from './transfer.js';

export interface HubModel {
  /** Folder in hub layout. */
  readonly folder: string;
  readonly reference: HubReference;
  readonly commit: string;
}

const WEIGHTS = 'model.safetensors';
/** What says how the weights are meant; a model may do without. */
const SIDECARS = ['config.json', 'preprocessor_config.json'] as const;
/** More is no configuration. */
const MAX_SIDECAR_BYTES = 4_000_000;
/** Files and folders at the top of a repository. */
const MAX_LISTED = 10_000;

/** Throws DownloadError, or the reason of the caller's signal. */
export async function hubModel(
  reference: HubReference,
  settings: HubSettings,
  caller: Caller<DownloadEvent>,
): Promise<HubModel> {
  const cache = new HubCache(settings.cache, reference.name);
  const known = cache.commitOf(reference);
  const isKnown = known !== null && missingOf(cache, known).length === 0;
  if (known !== null && isKnown && isCommit(reference.revision) && saysAll(cache, known)) {
    return { folder: cache.snapshot(known), reference, commit: known };
  }
  if (settings.offline) return offlineModel(reference, cache, caller);
  try {
    return await download(reference, stoppable(settings, reference, caller.signal), cache, caller);
  } catch (error) {
    caller.checkSignal();
    if (!isTemporary(error) || known === null || !isKnown) {
      throw diskError(referenceText(reference), settings.cache, error);
    }
    const { got } = error.parts;
    const where = referenceText(reference);
    caller.note('hub', `${where}: ${got}; using what was downloaded before`);
    return { folder: cache.snapshot(known), reference, commit: known };
  }
}

/** A model's files at a commit, as the hub says. */
export interface Listing {
  readonly commit: string;
  /** By path; only what could be stored under its name. */
  readonly files: ReadonlyMap<string, HubFile>;
}

/** What the hub says of a revision. Throws DownloadError. */
export async function askListing(reference: HubReference, settings: HubSettings): Promise<Listing> {
  const { modelInfo, listFiles } = await import('@huggingface/hub');
  const { name, revision } = reference;
  const info = await ask(settings, reference, 'json', (server) =>
    modelInfo({ ...server, name, revision, additionalFields: ['sha'] }),
  );
  const { sha: commit } = answerOf(reference, infoReader, info);
  const files = await ask(settings, reference, 'json', async (server) => {
    const found = new Map<string, HubFile>();
    let entries = 0;
    const repo = { type: 'model', name } as const;
    for await (const entry of listFiles({ ...server, repo, revision: commit })) {
      if (++entries > MAX_LISTED) throw tooManyFiles(reference);
      const file = hubFile(reference, entry);
      if (file) found.set(file.path, file);
    }
    return found;
  });
  return { commit, files };
}

async function download(
  reference: HubReference,
  settings: HubSettings,
  cache: HubCache,
  caller: Caller<DownloadEvent>,
): Promise<HubModel> {
  const { commit, files: listed } = await askListing(reference, settings);
  const weights = listed.get(WEIGHTS) ?? listed.get(SHARD_INDEX);
  if (!weights) throw noWeights(reference, [...listed.keys()]);
  const sidecars = SIDECARS.flatMap((path) => listed.get(path) ?? []);
  for (const file of sidecars) checkSize(reference, file, MAX_SIDECAR_BYTES);
  for (const path of SIDECARS) if (!listed.has(path)) cache.keepMissing(commit, path);
  const download = { reference, settings, cache, commit, caller };
  if (weights.path === SHARD_INDEX) {
    checkSize(reference, weights, MAX_INDEX_BYTES);
    await fetchFiles([...sidecars, weights], download);
    await fetchFiles(shardsOf(download, listed), download);
  } else {
    await fetchFiles([...sidecars, weights], download);
  }
  await cache.keepCommit(reference, commit);
  return { folder: cache.snapshot(commit), reference, commit };
}

/** One model in one commit, on its way. */
interface HubDownload {
  readonly reference: HubReference;
  readonly settings: HubSettings;
  readonly cache: HubCache;
  readonly commit: string;
  readonly caller: Caller<DownloadEvent>;
}

async function fetchFiles(files: readonly HubFile[], download: HubDownload): Promise<void> {
  const { reference, settings, cache, commit, caller } = download;
  const missing = files.filter(({ path }) => cache.file(commit, path) === null);
  if (missing.length === 0) return;
  const progress = new DownloadProgress(caller, reference.name, missing);
  for (const file of missing) {
    await fetchBlob({
      ...{ settings, reference, cache, file },
      address: () => addressOf(file, download),
      onProgress: (done) => {
        progress.update(file, done);
      },
      onWait: (holder) => {
        const [host = '', id = ''] = holder.split(' ');
        const who = `another process (${id} on ${host})`;
        caller.note('hub', `waiting for ${who} that downloads ${file.path}`);
      },
    });
    cache.link(commit, file.path, file.checksum);
  }
}

/** Where the file's bytes are; the large ones live on another host, to which this redirects. */
async function addressOf(file: HubFile, download: HubDownload): Promise<URL> {
  const { fileDownloadInfo } = await import('@huggingface/hub');
  const { reference, settings, commit } = download;
  const repo = { type: 'model', name: reference.name } as const;
  const info = await ask(settings, reference, 'headers', (server) =>
    fileDownloadInfo({ ...server, repo, path: file.path, revision: commit }),
  );
  if (info?.size === file.bytes && URL.canParse(info.url)) return new URL(info.url);
  const got = info ? `one of ${String(info.size)}` : 'none';
  throw unusable(reference, `${file.path} of ${String(file.bytes)} bytes, as listed`, got);
}

function shardsOf(
  { reference, cache, commit }: HubDownload,
  listed: ReadonlyMap<string, HubFile>,
): readonly HubFile[] {
  const path = join(cache.snapshot(commit), SHARD_INDEX);
  const index = readText(path, 'an index of shards', MAX_INDEX_BYTES);
  const { shards } = parseShardIndex(`${reference.name}, ${SHARD_INDEX}`, index);
  return shards.map((shard) => {
    const file = listed.get(shard);
    if (file) return file;
    throw unusable(reference, `${shard}, which ${SHARD_INDEX} names`, 'no such file');
  });
}

/** What the hub lists; null for folders, and for what could not be stored under its name. */
function hubFile(reference: HubReference, entry: unknown): HubFile | null {
  const { type, path } = answerOf(reference, entryReader, entry);
  if (type !== 'file' || !/^[\w.-]+$/.test(path) || path.startsWith('.')) return null;
  const { size, oid = '', lfs } = answerOf(reference, fileReader, entry);
  const [bytes, checksum] = lfs ? [lfs.size, lfs.oid] : [size, oid];
  const hash = lfs ? 'sha256' : 'git';
  const isSound = (lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(checksum);
  if (isSound) return { path, bytes, hash, checksum };
  throw unusable(reference, `a checksum of ${path}`, schema.brief(checksum));
}

const { object, optional, text, whole } = schema;

const commitReader: schema.Reader<string> = (value, place) =>
  typeof value === 'string' && isCommit(value) ? value : place.fail('a commit', value);
const infoReader = object({ sha: commitReader });

const BYTES = whole({ least: 0, most: Number.MAX_SAFE_INTEGER });
const entryReader = object({ type: text({ most: 100 }), path: text() });
const fileReader = object({
  size: BYTES,
  oid: optional(text({ most: 100 })),
  lfs: optional(object({ oid: text({ most: 100 }), size: BYTES })),
});

/** A part of an answer. Throws DownloadError. */
function answerOf<T>(reference: HubReference, reader: schema.Reader<T>, value: unknown): T {
  const todo = 'Check HF_ENDPOINT: a hub does not answer so';
  const file = `${referenceText(reference)}, answer of the hub`;
  return schema.readValue(value, reader, { file, error: DownloadError, todo });
}

function tooManyFiles(reference: HubReference): DownloadError {
  const expected = `at most ${String(MAX_LISTED)} files beside the weights`;
  return unusable(reference, expected, 'more');
}

function offlineModel(
  reference: HubReference,
  cache: HubCache,
  caller: Caller<DownloadEvent>,
): HubModel {
  const commit = cache.commitOf(reference);
  const missing = commit === null ? null : missingOf(cache, commit);
  if (commit === null || missing === null || missing.length > 0) {
    throw new DownloadError({
      where: referenceText(reference),
      expected: `a model that was downloaded before, in ${cache.folder}`,
      got: missing === null ? 'none of this revision' : `one without ${missing.join(', ')}`,
      todo: 'Run once without --offline and HF_HUB_OFFLINE, or give a folder with the files',
    });
  }
  for (const path of SIDECARS) {
    if (isSettled(cache, commit, path)) continue;
    const where = referenceText(reference);
    caller.note('hub', `${where}: ${path} is not in the cache; defaults count`);
  }
  return { folder: cache.snapshot(commit), reference, commit };
}

/** Weights that a snapshot lacks. */
function missingOf(cache: HubCache, commit: string): readonly string[] {
  if (cache.file(commit, WEIGHTS) !== null) return [];
  const index = cache.file(commit, SHARD_INDEX);
  if (index === null) return [WEIGHTS];
  const { shards } = readShardIndex(index);
  return shards.filter((shard) => cache.file(commit, shard) === null);
}

/** Whether each of the sidecars is there or known not to exist. */
function saysAll(cache: HubCache, commit: string): boolean {
  return SIDECARS.every((path) => isSettled(cache, commit, path));
}

function isSettled(cache: HubCache, commit: string, path: string): boolean {
  return cache.file(commit, path) !== null || cache.isKnownMissing(commit, path);
}

function checkSize(reference: HubReference, { path, bytes }: HubFile, most: number): void {
  if (bytes <= most) return;
  throw unusable(reference, `${path} of at most ${megabytes(most)}`, megabytes(bytes));
}

function noWeights(reference: HubReference, files: readonly string[]): DownloadError {
  const pickled = files.find(isPickle);
  const named = files.filter((file) => file.endsWith('.safetensors'));
  const others =
    named.length > 0 ? named : files.filter((file) => /\.(h5|msgpack|onnx|bin|pt)$/.test(file));
  return new DownloadError({
    where: referenceText(reference),
    expected: `${WEIGHTS} or ${SHARD_INDEX}`,
    got: others.length > 0 ? `only ${others.slice(0, 5).join(', ')}` : 'no weights',
    todo: pickled
      ? `Download ${pickled} and convert it: ${convertLine(pickled)}`
      : 'Choose a model with weights in safetensors',
  });
}

function unusable(reference: HubReference, expected: string, got: string): DownloadError {
  const where = referenceText(reference);
  return new DownloadError({ where, expected, got, todo: 'Choose another revision or model' });
}
