/**
 * A model of the hub as a folder on this disk: which commit a revision means, which files are
 * needed, and where they are. Only weights in safetensors (whole or in shards), config.json and
 * preprocessor_config.json are fetched.
 *
 * A revision is asked for once and then everything is taken from one commit. Without network the
 * cache answers: at once under --offline, with a note where the hub cannot be reached.
 */
import { DownloadError, megabytes } from '@thimble/core';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Output } from '../output.js';
import { convertLine, isPickle } from '../pickle.js';
import { parseShardIndex, SHARD_INDEX } from '../weights/shard-index.js';
import { HubCache } from './cache.js';
import { diskError } from './disk.js';
import { DownloadProgress } from './progress.js';
import { isCommit, referenceText, type HubReference } from './reference.js';
import { ask, isTemporary } from './requests.js';
import type { HubSettings } from './settings.js';
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
const MAX_INDEX_BYTES = 64_000_000;
/** Files at the top of a repository; more are not looked at. */
const MAX_LISTED = 10_000;

/** Throws DownloadError. */
export async function hubModel(
  reference: HubReference,
  settings: HubSettings,
  output: Output,
): Promise<HubModel> {
  const cache = new HubCache(settings.cache, reference.name);
  const known = cache.commitOf(reference);
  const isKnown = known !== null && missingOf(cache, known).length === 0;
  if (known !== null && isKnown && isCommit(reference.revision) && saysAll(cache, known)) {
    return { folder: cache.snapshot(known), reference, commit: known };
  }
  if (settings.offline) return offlineModel(reference, cache, output);
  try {
    return await download(reference, settings, cache, output);
  } catch (error) {
    if (!isTemporary(error) || known === null || !isKnown) {
      throw diskError(referenceText(reference), settings.cache, error);
    }
    const { got } = error.parts;
    output.note(`thimble: ${referenceText(reference)}: ${got}; using what was downloaded before`);
    return { folder: cache.snapshot(known), reference, commit: known };
  }
}

async function download(
  reference: HubReference,
  settings: HubSettings,
  cache: HubCache,
  output: Output,
): Promise<HubModel> {
  const { modelInfo, listFiles } = await import('@huggingface/hub');
  const { name, revision } = reference;
  const { sha: commit } = await ask(settings, reference, (server) =>
    modelInfo({ ...server, name, revision, additionalFields: ['sha'] }),
  );
  if (!isCommit(commit)) throw unusable(reference, 'a commit', JSON.stringify(commit).slice(0, 60));
  const listed = await ask(settings, reference, async (server) => {
    const files = new Map<string, HubFile>();
    const repo = { type: 'model', name } as const;
    for await (const entry of listFiles({ ...server, repo, revision: commit })) {
      const file = entry.type === 'file' ? hubFile(reference, entry) : null;
      if (file) files.set(file.path, file);
      if (files.size > MAX_LISTED) break;
    }
    return files;
  });
  const weights = listed.get(WEIGHTS) ?? listed.get(SHARD_INDEX);
  if (!weights) throw noWeights(reference, [...listed.keys()]);
  const sidecars = SIDECARS.flatMap((path) => listed.get(path) ?? []);
  for (const file of sidecars) checkSize(reference, file, MAX_SIDECAR_BYTES);
  for (const path of SIDECARS) if (!listed.has(path)) cache.keepMissing(commit, path);
  const job = { reference, settings, cache, commit, output };
  if (weights.path === SHARD_INDEX) {
    checkSize(reference, weights, MAX_INDEX_BYTES);
    await fetchFiles([...sidecars, weights], job);
    await fetchFiles(shardsOf(job, listed), job);
  } else {
    await fetchFiles([...sidecars, weights], job);
  }
  cache.keepCommit(reference, commit);
  return { folder: cache.snapshot(commit), reference, commit };
}

interface Job {
  readonly reference: HubReference;
  readonly settings: HubSettings;
  readonly cache: HubCache;
  readonly commit: string;
  readonly output: Output;
}

async function fetchFiles(files: readonly HubFile[], job: Job): Promise<void> {
  const { reference, settings, cache, commit, output } = job;
  const missing = files.filter(({ path }) => cache.file(commit, path) === null);
  if (missing.length === 0) return;
  const progress = new DownloadProgress(output, reference.name, missing);
  try {
    for (const file of missing) {
      await fetchBlob({
        ...{ settings, reference, cache, file },
        address: () => addressOf(file, job),
        onProgress: (done) => {
          progress.update(file, done);
        },
        onWait: () => {
          output.note(`thimble: waiting for another process that downloads ${file.path}`);
        },
      });
      cache.link(commit, file.path, file.checksum);
    }
  } finally {
    progress.stop();
  }
}

/** Where the file's bytes are; the large ones live on another host, to which this redirects. */
async function addressOf(file: HubFile, job: Job): Promise<URL> {
  const { fileDownloadInfo } = await import('@huggingface/hub');
  const { reference, settings, commit } = job;
  const repo = { type: 'model', name: reference.name } as const;
  const info = await ask(settings, reference, (server) =>
    fileDownloadInfo({ ...server, repo, path: file.path, revision: commit }),
  );
  if (info?.size === file.bytes) return new URL(info.url);
  const got = info ? `one of ${String(info.size)}` : 'none';
  throw unusable(reference, `${file.path} of ${String(file.bytes)} bytes, as listed`, got);
}

function shardsOf(
  { reference, cache, commit }: Job,
  listed: Map<string, HubFile>,
): readonly HubFile[] {
  const path = join(cache.snapshot(commit), SHARD_INDEX);
  const { shards } = parseShardIndex(
    `${reference.name}, ${SHARD_INDEX}`,
    readFileSync(path, 'utf8'),
  );
  return shards.map((shard) => {
    const file = listed.get(shard);
    if (file) return file;
    throw unusable(reference, `${shard}, which ${SHARD_INDEX} names`, 'no such file');
  });
}

/** What the hub lists; null for what could not be stored under its name. */
function hubFile(
  reference: HubReference,
  entry: {
    readonly path: string;
    readonly size: number;
    readonly oid?: string;
    readonly lfs?: { readonly oid: string; readonly size: number };
  },
): HubFile | null {
  const { path, lfs } = entry;
  if (!/^[\w.-]+$/.test(path) || path.startsWith('.')) return null;
  const [bytes, checksum] = lfs ? [lfs.size, lfs.oid] : [entry.size, entry.oid ?? ''];
  const hash = lfs ? 'sha256' : 'git';
  const isSound = (lfs ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(checksum);
  if (isSound && Number.isSafeInteger(bytes) && bytes >= 0) return { path, bytes, hash, checksum };
  throw unusable(reference, `size and checksum of ${path}`, JSON.stringify(entry).slice(0, 100));
}

function offlineModel(reference: HubReference, cache: HubCache, output: Output): HubModel {
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
    output.note(
      `thimble: ${referenceText(reference)}: ${path} is not in the cache; defaults count`,
    );
  }
  return { folder: cache.snapshot(commit), reference, commit };
}

/** Weights that a snapshot lacks. */
function missingOf(cache: HubCache, commit: string): readonly string[] {
  if (cache.file(commit, WEIGHTS) !== null) return [];
  const index = cache.file(commit, SHARD_INDEX);
  if (index === null) return [WEIGHTS];
  const { shards } = parseShardIndex(index, readFileSync(index, 'utf8'));
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
