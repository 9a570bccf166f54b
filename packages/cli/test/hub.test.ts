/**
 * Downloads from the hub against a server on this machine: which files, where they lie, what
 * happens when the network or the server misbehaves. What the command does with them is tested in
 * cli-weights.test.ts.
 */
import { DownloadError, writeSafetensors } from '@thimble/core';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Caller, type NoteEvent } from '../src/events/caller.js';
import { HubCache } from '../src/hub/cache.js';
import { diskError } from '../src/hub/disk.js';
import { hubModel, type HubModel } from '../src/hub/model.js';
import { hubReference, looksLikeHubName } from '../src/hub/reference.js';
import { hubSettings, type HubSettings } from '../src/hub/settings.js';
import type { DownloadEvent } from '../src/hub/progress.js';
import { fetchBlob } from '../src/hub/transfer.js';
import { gitChecksum, HubServer, sha256 } from './hub-server.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-hub-'));
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const NEWER = 'fedcba9876543210fedcba9876543210fedcba98';
const WEIGHTS = Buffer.from(
  writeSafetensors([
    {
      name: 'w',
      dtype: 'F32',
      shape: [50_000],
      data: Float32Array.from({ length: 50_000 }, Math.sin),
    },
  ]),
);
const CONFIG = '{"model_type": "vit"}';
const FILES = {
  'config.json': CONFIG,
  'model.safetensors': WEIGHTS,
  'README.md': 'no',
  'tf_model.h5': 'no',
};

let server: HubServer;
/** Where nobody listens. */
let nowhere = '';
let cache = '';
let notes: string[] = [];
let events: (DownloadEvent | NoteEvent)[] = [];

const heard = (signal?: AbortSignal) =>
  new Caller<DownloadEvent>({
    signal,
    onEvent: (event) => {
      events.push(event);
      if (event.event === 'note') notes.push(event.text);
    },
  });

beforeAll(async () => {
  const gone = await HubServer.start();
  nowhere = gone.endpoint;
  await gone.stop();
  server = await HubServer.start();
  server.add('owner/tiny', COMMIT, FILES);
});

beforeEach(() => {
  cache = mkdtempSync(join(folder, 'cache-'));
  [notes, events] = [[], []];
});

afterEach(() => {
  server.reset();
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const model = (...parts: string[]) => join(cache, 'models--owner--tiny', ...parts);
const settings = (changes: Partial<HubSettings> = {}): HubSettings => ({
  ...{ endpoint: server.endpoint, cache, token: null, offline: false, retryMs: 1, stallMs: 2000 },
  ...changes,
});
const get = (text = 'owner/tiny', changes: Partial<HubSettings> = {}): Promise<HubModel> =>
  hubModel(hubReference(text), settings(changes), heard());
const incomplete = () => model('blobs', `${sha256(WEIGHTS)}.thimble.incomplete`);

describe('a download', () => {
  it('takes what is needed into the layout of huggingface_hub', async () => {
    const found = await get();
    expect(found).toMatchObject({ folder: model('snapshots', COMMIT), commit: COMMIT });
    expect(readdirSync(found.folder).sort()).toEqual(['config.json', 'model.safetensors']);
    const link = join(found.folder, 'model.safetensors');
    expect(readlinkSync(link)).toBe(join('..', '..', 'blobs', sha256(WEIGHTS)));
    expect(readFileSync(link).equals(WEIGHTS)).toBe(true);
    expect(readdirSync(model('blobs')).sort()).toEqual(
      [gitChecksum(Buffer.from(CONFIG)), sha256(WEIGHTS)].sort(),
    );
    expect(readFileSync(model('refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(existsSync(model('.no_exist', COMMIT, 'preprocessor_config.json'))).toBe(true);
    expect(readdirSync(join(cache, '.locks', 'models--owner--tiny'))).toEqual([]);
  });

  it('says how far it is', async () => {
    await get();
    const total = WEIGHTS.byteLength + CONFIG.length;
    const all = events.filter(({ event }) => event === 'download');
    expect(all.at(-1)).toMatchObject({
      model: 'owner/tiny',
      file: 'model.safetensors',
      done: total,
      total,
    });
  });

  it('asks for nothing that is there, and for nothing at all at a known commit', async () => {
    await get();
    server.reset();
    await get();
    expect(server.asked.map(({ path }) => path)).toEqual([
      '/api/models/owner/tiny/revision/main',
      `/api/models/owner/tiny/tree/${COMMIT}`,
    ]);
    server.reset();
    await get(`owner/tiny@${COMMIT}`);
    expect(server.asked).toEqual([]);
  });

  it('pins a revision, and follows main where it moves', async () => {
    server.add('owner/moving', COMMIT, FILES);
    expect((await get('owner/moving')).commit).toBe(COMMIT);
    server.add('owner/moving', NEWER, { ...FILES, 'config.json': '{"model_type": "deit"}' });
    expect((await get('owner/moving')).commit).toBe(NEWER);
    const pinned = await get(`owner/moving@${COMMIT}`);
    expect(readFileSync(join(pinned.folder, 'config.json'), 'utf8')).toBe(CONFIG);
  });

  it('takes the shards that the index names, and no others', async () => {
    const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
    const shards = { [map.a]: WEIGHTS, [map.b]: 'small', 'model-00003-of-00002.safetensors': 'no' };
    const index = JSON.stringify({ weight_map: map });
    server.add('owner/parts', COMMIT, { ...shards, 'model.safetensors.index.json': index });
    const found = await get('owner/parts');
    expect(readdirSync(found.folder).sort()).toEqual([
      map.a,
      map.b,
      'model.safetensors.index.json',
    ]);
  });

  it('uses plain HTTP where the server offers its other protocol', async () => {
    server.offersXet = true;
    await get();
    expect(server.transfers()).toEqual(['all']);
  });

  it('sends the login to the hub alone, and no signature anywhere', async () => {
    await get('owner/tiny', { token: 'hf_secret' });
    const of = (host: string) => server.asked.filter((one) => one.host === host);
    expect(of('hub').every(({ authorization }) => authorization === 'Bearer hf_secret')).toBe(true);
    expect(of('storage').length).toBeGreaterThan(0);
    expect(of('storage').every(({ authorization }) => authorization === null)).toBe(true);
    expect(JSON.stringify([notes, events])).not.toContain('secret');
  });
});

describe('a network that fails', () => {
  it('continues a broken connection where it broke', async () => {
    server.fail({ path: /^\/stored/, cutAfter: 100_000 });
    server.fail({ path: /^\/stored/, cutAfter: 50_000 });
    await get();
    expect(server.transfers()).toEqual(['all', 'bytes=100000-', 'bytes=150000-']);
    expect(readFileSync(model('snapshots', COMMIT, 'model.safetensors')).equals(WEIGHTS)).toBe(
      true,
    );
  });

  it('continues what another process left', async () => {
    mkdirSync(model('blobs'), { recursive: true });
    writeFileSync(incomplete(), WEIGHTS.subarray(0, 123_456));
    await get();
    expect(server.transfers()).toEqual(['bytes=123456-']);
    expect(existsSync(incomplete())).toBe(false);
  });

  it('keeps what came when the attempts are used up', async () => {
    server.fail({ path: /^\/stored/, cutAfter: 70_000 });
    server.fail({ path: /^\/stored/, status: 503 }, 100);
    const error = await get().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DownloadError);
    expect(String(error)).toContain('owner/tiny: expected an answer from 127.0.0.1');
    expect(String(error)).toContain('got status 503. Try again later.');
    expect(lstatSync(incomplete()).size).toBe(70_000);
    expect(existsSync(model('snapshots', COMMIT, 'model.safetensors'))).toBe(false);
  });

  it.each([
    ['a server that cannot continue', { whole: true }, ['bytes=1000-']],
    ['a damaged part', {}, ['bytes=1000-', 'all']],
  ])('starts over after %s', async (_, fault, transfers) => {
    mkdirSync(model('blobs'), { recursive: true });
    writeFileSync(incomplete(), Buffer.alloc(1000, 7));
    server.fail({ path: /^\/stored/, ...fault });
    await get();
    expect(server.transfers()).toEqual(transfers);
  });

  it('tries again after a status that may pass, and after silence', async () => {
    server.fail({ path: /revision/, status: 503 }, 2);
    server.fail({ path: /tree/, silent: true });
    server.fail({ path: /^\/stored/, silent: true });
    const found = await get('owner/tiny', { stallMs: 300 });
    expect(readdirSync(found.folder)).toContain('model.safetensors');
  });

  it('tells a hub from another server', async () => {
    const page = createServer((_, response) => response.end('<html>Please log in</html>'));
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${String((page.address() as AddressInfo).port)}`;
    await expect(get('owner/tiny', { endpoint })).rejects.toThrow(
      /owner\/tiny: expected an answer of a hub from 127.*got no JSON: "<html>Please log in.*Check HF_ENDPOINT/,
    );
    page.closeAllConnections();
    page.close();
  });

  it('removes bytes that are not those of the checksum', async () => {
    server.fail({ path: /^\/stored/, spoil: true });
    await expect(get()).rejects.toThrow(
      `owner/tiny, model.safetensors: expected SHA-256 ${sha256(WEIGHTS)}, got `,
    );
    expect(existsSync(incomplete())).toBe(false);
    expect(existsSync(model('blobs', sha256(WEIGHTS)))).toBe(false);
    server.fail({ path: /config\.json$/, spoil: true });
    cache = mkdtempSync(join(folder, 'cache-'));
    await expect(get()).rejects.toThrow('config.json: expected git checksum ');
  });

  it('refuses an answer of another length than listed', async () => {
    server.fail({ path: /^\/stored/, less: 5000 }, 100);
    await expect(get()).rejects.toThrow(
      `owner/tiny, model.safetensors: expected ${String(WEIGHTS.byteLength)} bytes, got `,
    );
  });

  it('uses what was downloaded before where the hub cannot be reached', async () => {
    await get();
    const found = await get('owner/tiny', { endpoint: nowhere });
    expect(found.commit).toBe(COMMIT);
    expect(notes.join()).toMatch(/ECONNREFUSED.*using what was downloaded before/);
  });

  it('says that there is no network where nothing was', async () => {
    await expect(get('owner/tiny', { endpoint: nowhere })).rejects.toThrow(
      /owner\/tiny: expected an answer from 127\.0\.0\.1:\d+, got .*ECONNREFUSED.*Check the network/,
    );
  });
});

describe('a disk that fails', () => {
  it('is asked for room first', async () => {
    const reference = hubReference('owner/tiny');
    const file = { path: 'a', bytes: 2 ** 60, hash: 'sha256', checksum: 'f'.repeat(64) } as const;
    const ignore = () => undefined;
    const job = {
      settings: settings(),
      reference,
      cache: new HubCache(cache, reference.name),
      file,
    };
    const address = () => Promise.reject(new Error('not asked'));
    await expect(
      fetchBlob({ ...job, address, onProgress: ignore, onWait: ignore }),
    ).rejects.toThrow(
      /^owner\/tiny: expected room for \S+ MB for a in \S+, got \S+ MB\. Free some, or set HF_HOME/,
    );
  });

  it('is explained', () => {
    const of = (code: string) =>
      diskError('a/b', '/cache', Object.assign(new Error(code), { code }));
    expect(String(of('ENOSPC'))).toContain(
      'a/b: expected room for the rest in /cache, got a full disk',
    );
    expect(String(of('EACCES'))).toContain(
      'expected a cache that can be written to at /cache, got EACCES',
    );
    expect(String(of('EIO'))).toBe('Error: EIO');
  });
});

describe('offline', () => {
  it('asks nothing and finds what is there', async () => {
    await get();
    server.reset();
    expect((await get('owner/tiny', { offline: true })).folder).toBe(model('snapshots', COMMIT));
    expect(server.asked).toEqual([]);
    rmSync(model('.no_exist'), { recursive: true });
    await get('owner/tiny', { offline: true });
    expect(notes.join()).toContain('preprocessor_config.json is not in the cache; defaults count');
  });

  it('says what is missing', async () => {
    await expect(get('owner/tiny', { offline: true })).rejects.toThrow(
      'owner/tiny: expected a model that was downloaded before, in ' +
        `${model()}, got none of this revision. Run once without --offline`,
    );
    await get();
    rmSync(model('blobs', sha256(WEIGHTS)));
    await expect(get('owner/tiny', { offline: true })).rejects.toThrow(
      'got one without model.safetensors',
    );
  });
});

describe('refusals of the hub', () => {
  it.each([
    [
      401,
      'GatedRepo',
      /owner\/tiny: expected a model that may be downloaded, got status 401, GatedRepo: .*Open http.*\/owner\/tiny, accept its conditions, then set HF_TOKEN/,
    ],
    [403, '', /expected a model that may be downloaded, got status 403/],
    [
      404,
      'RepoNotFound',
      /expected a model on 127.*, got status 404, RepoNotFound: none of this name\. Check the spelling/,
    ],
    [401, '', /a private model needs HF_TOKEN/],
    [
      404,
      'RevisionNotFound',
      /expected a revision of owner\/tiny, got status 404, RevisionNotFound/,
    ],
  ])('explains %i %s', async (status, code, message) => {
    server.fail({ path: /revision/, status, code });
    await expect(get()).rejects.toThrow(message);
    expect(server.asked).toHaveLength(1); // trying again would not help
  });

  it('knows models and revisions that are not there', async () => {
    await expect(get('owner/none')).rejects.toThrow('owner/none: expected a model on 127');
    await expect(get('owner/tiny@v9')).rejects.toThrow('owner/tiny@v9: expected a revision of');
  });

  it('says how to convert a model that has pickled weights only', async () => {
    server.add('owner/old', COMMIT, { 'config.json': CONFIG, 'pytorch_model.bin': 'x' });
    await expect(get('owner/old')).rejects.toThrow(
      /expected model\.safetensors or .*, got only pytorch_model\.bin\. .*convert it: python -c "import torch/,
    );
  });

  it('refuses listings and indices that leave their folder', async () => {
    const index = (shard: string) => JSON.stringify({ weight_map: { a: shard } });
    for (const shard of ['../../evil.safetensors', '/evil.safetensors', 'a\\..\\b.safetensors']) {
      server.add('owner/evil', COMMIT, { 'model.safetensors.index.json': index(shard) });
      rmSync(join(cache, 'models--owner--evil'), { recursive: true, force: true });
      await expect(get('owner/evil')).rejects.toThrow(
        'owner/evil, model.safetensors.index.json, weight_map.a: expected the name of a safetensors',
      );
    }
    server.add('owner/lost', COMMIT, { 'model.safetensors.index.json': index('a.safetensors') });
    await expect(get('owner/lost')).rejects.toThrow('got no such file');
    server.add('owner/wide', COMMIT, {
      'config.json': ' '.repeat(5_000_000),
      'model.safetensors': 'x',
    });
    await expect(get('owner/wide')).rejects.toThrow('expected config.json of at most 4.0');
  });
});

describe('two at once', () => {
  it('wait for one another and download once', async () => {
    const found = await Promise.all([get(), get()]);
    expect(found[0]).toEqual(found[1]);
    expect(server.transfers()).toEqual(['all']);
    expect(notes.join()).toContain('waiting for another process');
  });

  it('does not wait for a process that is gone', async () => {
    const lock = join(cache, '.locks', 'models--owner--tiny', `${sha256(WEIGHTS)}.thimble.lock`);
    mkdirSync(join(lock, '..'), { recursive: true });
    writeFileSync(lock, `${hostname()} 4194305`); // above the largest process number
    await get();
    expect(existsSync(lock)).toBe(false);
  });
});

describe('names and settings', () => {
  it.each(['owner/name', 'a/b@v1', 'google/vit-base-patch16-224-in21k'])('takes %s', (text) => {
    expect(looksLikeHubName(text)).toBe(true);
    expect(hubReference(text).name).toBe(text.split('@')[0]);
  });

  it.each([
    'model.safetensors',
    './a/b',
    '../a',
    'a/b/c',
    '/a/b',
    'runs/model.safetensors',
    'vit-micro',
  ])('takes %s for a path or a preset', (text) => {
    expect(looksLikeHubName(text)).toBe(false);
  });

  it.each([
    'a/..',
    '../b',
    'a/b--c',
    'a/b.git',
    `a/${'b'.repeat(120)}`,
    'a/-b',
    'a/b@../../x',
    'a/b@',
    'a/b@x//y',
  ])('refuses %s', (text) => {
    expect(() => hubReference(text)).toThrow(/^(model name|revision): expected /);
  });

  it('says a revision once', () => {
    expect(hubReference('a/b', 'refs/pr/1').revision).toBe('refs/pr/1');
    expect(() => hubReference('a/b@v1', 'v2')).toThrow('--revision: expected v1, as a/b@v1 says');
  });

  it('reads the variables of huggingface_hub', () => {
    expect(hubSettings({ HF_HOME: '/data/hf' }, false).cache).toBe('/data/hf/hub');
    expect(hubSettings({ XDG_CACHE_HOME: '/x' }, false).cache).toBe('/x/huggingface/hub');
    expect(hubSettings({ HF_HUB_CACHE: '/c', HF_HOME: '/data' }, false).cache).toBe('/c');
    expect(hubSettings({ HF_HUB_OFFLINE: '1' }, false).offline).toBe(true);
    expect(hubSettings({ HF_ENDPOINT: 'http://mirror/' }, true)).toMatchObject({
      ...{ endpoint: 'http://mirror', offline: true },
    });
    expect(() => hubSettings({ HF_ENDPOINT: 'file:///etc' }, false)).toThrow(
      'HF_ENDPOINT: expected',
    );
    for (const token of ['hf_a\nhf_secret', 'hf_\u00e4secret', 'x'.repeat(2000)]) {
      const settingsOf = () => hubSettings({ HF_TOKEN: token }, false);
      expect(settingsOf).toThrow(/^HF_TOKEN, or the file of the login: expected an access token/);
      expect(settingsOf).not.toThrow(/secret|xxx/);
    }
    writeFileSync(join(folder, 'token'), 'hf_file\n');
    expect(hubSettings({ HF_TOKEN_PATH: join(folder, 'token') }, false).token).toBe('hf_file');
  });
});
