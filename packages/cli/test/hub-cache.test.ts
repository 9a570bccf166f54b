/**
 * A cache that somebody has been at: links where files belong, locks that nobody lets go, files that are not what
 * they were. Nothing outside of the cache is touched, and what is damaged is not used.
 */
import { ThimbleError, writeSafetensors } from '@thimble/core';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Caller } from '../src/events/caller.js';
import { HubCache } from '../src/hub/cache.js';
import { hubModel, type HubModel } from '../src/hub/model.js';
import { hubReference } from '../src/hub/reference.js';
import type { HubSettings } from '../src/hub/settings.js';
import { openWeightFiles } from '../src/weights/files.js';
import { gitChecksum, HubServer, sha256 } from './hub-server.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-hub-cache-'));
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const WEIGHTS = Buffer.from(
  writeSafetensors([{ name: 'w', dtype: 'U8', shape: [90_000], data: new Uint8Array(90_000) }]),
);
const CONFIG = '{"model_type": "vit"}';

let server: HubServer;
let cache = '';

beforeAll(async () => {
  server = await HubServer.start();
  server.add('owner/tiny', COMMIT, { 'config.json': CONFIG, 'model.safetensors': WEIGHTS });
});

beforeEach(() => {
  cache = mkdtempSync(join(folder, 'cache-'));
});

afterEach(() => {
  server.reset();
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const get = (changes: Partial<HubSettings> = {}): Promise<HubModel> => {
  const { endpoint } = server;
  const settings = {
    endpoint,
    cache,
    token: 'hf_secret',
    offline: false,
    retryMs: 1,
    stallMs: 5000,
  };
  return hubModel(hubReference('owner/tiny'), { ...settings, ...changes }, new Caller());
};
const model = (...parts: string[]) => join(cache, 'models--owner--tiny', ...parts);

describe('links where files belong', () => {
  const precious = join(folder, 'precious');
  beforeEach(() => {
    rmSync(precious, { force: true });
    writeFileSync(precious, 'precious');
    mkdirSync(model('blobs'), { recursive: true });
  });
  afterEach(() => {
    expect(readFileSync(precious, 'utf8')).toBe('precious');
  });

  it.each([
    ['a link', symlinkSync],
    ['another name of a file', linkSync],
  ])('%s is not written through', async (_, make) => {
    make(precious, model('blobs', `${sha256(WEIGHTS)}.thimble.incomplete`));
    const found = await get();
    expect(lstatSync(model('blobs', sha256(WEIGHTS))).nlink).toBe(1);
    expect(readFileSync(join(found.folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });

  it('in refs, snapshots, locks and notes are left alone', async () => {
    for (const path of ['refs', `snapshots/${COMMIT}`, `.no_exist/${COMMIT}`]) {
      mkdirSync(model(path), { recursive: true });
    }
    const id = String(process.pid);
    symlinkSync(precious, model('refs', `main.${id}.tmp`));
    symlinkSync(precious, model('refs', 'main'));
    symlinkSync(precious, model('snapshots', COMMIT, `model.safetensors.${id}.tmp`));
    const note = join(folder, 'note');
    symlinkSync(note, model('.no_exist', COMMIT, 'preprocessor_config.json'));
    await get();
    expect(readFileSync(model('refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(existsSync(note)).toBe(false);
  });
});

describe('a lock', () => {
  const times = { dead: 300, heartbeat: 30, poll: 10 };
  const path = () => join(cache, '.locks', 'models--a--b', 'x.thimble.lock');
  const locked = async (work: () => Promise<void>): Promise<readonly string[]> => {
    const holders: string[] = [];
    await new HubCache(cache, 'a/b', times).locked('x', (holder) => holders.push(holder), work);
    return holders;
  };
  const nothing = () => Promise.resolve();
  const hold = (text: string) => {
    mkdirSync(join(path(), '..'), { recursive: true });
    writeFileSync(path(), text);
  };

  it.each([
    ['now', 0],
    ['a day ago', -86_400],
    ['a year ahead', 31_536_000],
  ])('of another host that is silent since %s is taken', async (_, seconds) => {
    hold('otherhost 1 x');
    const date = new Date(Date.now() + 1000 * seconds);
    utimesSync(path(), date, date);
    expect(await locked(nothing)).toEqual(['otherhost 1 x']);
    expect(existsSync(path())).toBe(false);
  });

  it('of another host that lives is waited for', async () => {
    hold('otherhost 1 x');
    const beats = setInterval(() => {
      writeFileSync(path(), 'otherhost 1 x');
    }, 20);
    const started = performance.now();
    setTimeout(() => {
      clearInterval(beats);
      rmSync(path());
    }, 600);
    await locked(nothing);
    expect(performance.now() - started).toBeGreaterThan(500);
  });

  it('whose folder goes away ends nothing', async () => {
    let isDone = false;
    await locked(async () => {
      rmSync(join(cache, '.locks'), { recursive: true });
      await sleep(100);
      isDone = true;
    });
    expect(isDone).toBe(true);
  });

  it('that another process has taken meanwhile stays with it', async () => {
    await locked(async () => {
      writeFileSync(path(), `${hostname()} 1 other`);
      await sleep(100);
    });
    expect(readFileSync(path(), 'utf8')).toBe(`${hostname()} 1 other`);
  });
});

describe('a cached file that is not what it was', () => {
  const spoil = (blob: string) => {
    const bytes = readFileSync(model('blobs', blob));
    bytes[bytes.length - 1] ^= 64;
    writeFileSync(model('blobs', blob), bytes);
  };

  it.each([
    ['weights', sha256(WEIGHTS)],
    ['configuration', gitChecksum(Buffer.from(CONFIG))],
  ])('is refused: %s', async (_, blob) => {
    const { folder: found } = await get();
    openWeightFiles(found).checkpoint.close();
    spoil(blob);
    const open = () => openWeightFiles(found);
    expect(open).toThrow(ThimbleError);
    expect(open).toThrow(
      `expected the bytes with the checksum ${blob}, as the cache calls the file`,
    );
    expect(open).toThrow(`Remove ${model('blobs', blob)}, which was damaged or changed`);
    rmSync(model('blobs', blob));
    openWeightFiles((await get()).folder).checkpoint.close(); // it came again
  });

  it('is refused in shards, small ones by the checksum of git', async () => {
    const shard = (name: string) =>
      Buffer.from(writeSafetensors([{ name, dtype: 'U8', shape: [1], data: [1] }]));
    const map = { a: 'a.safetensors', b: 'b.safetensors' };
    const index = JSON.stringify({ weight_map: map });
    const files = { 'a.safetensors': shard('a'), 'b.safetensors': shard('b') };
    server.add('owner/tiny', COMMIT, { ...files, 'model.safetensors.index.json': index });
    const { folder: found } = await get();
    const opened = openWeightFiles(found);
    opened.checkpoint.close();
    expect(opened.hashes().map(({ sha256: hash }) => hash)).toEqual(
      Object.values(files).map((bytes) => sha256(bytes)),
    );
    spoil(gitChecksum(shard('b')));
    expect(() => openWeightFiles(found)).toThrow('b.safetensors: expected the bytes with');
    server.add('owner/tiny', COMMIT, { 'config.json': CONFIG, 'model.safetensors': WEIGHTS });
  });
});
