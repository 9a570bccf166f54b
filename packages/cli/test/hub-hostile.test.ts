/**
 * A hub that means harm: answers without end, bombs, circles, slow drips. Each ends soon, with an error in words,
 * and nothing of it is kept.
 */
import { DownloadError, writeSafetensors } from '@thimble/core';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Caller } from '../src/events/caller.js';
import { hubModel, type HubModel } from '../src/hub/model.js';
import { hubReference } from '../src/hub/reference.js';
import type { HubSettings } from '../src/hub/settings.js';
import { gitChecksum, HubServer, type Fault } from './hub-server.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-hostile-'));
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const WEIGHTS = Buffer.from(
  writeSafetensors([{ name: 'w', dtype: 'U8', shape: [90_000], data: new Uint8Array(90_000) }]),
);
const CONFIG = '{"model_type": "vit"}';

let server: HubServer;
let other: HubServer;
let cache = '';

beforeAll(async () => {
  [server, other] = [await HubServer.start(), await HubServer.start()];
  for (const one of [server, other]) {
    one.add('owner/tiny', COMMIT, { 'config.json': CONFIG, 'model.safetensors': WEIGHTS });
  }
});

beforeEach(() => {
  cache = mkdtempSync(join(folder, 'cache-'));
});

afterEach(() => {
  server.reset();
  other.reset();
});

afterAll(async () => {
  await server.stop();
  await other.stop();
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
/** The error, which is a DownloadError whatever the server does. */
const refusal = async (fault: Omit<Fault, 'times'>, changes: Partial<HubSettings> = {}) => {
  server.fail(fault, 1000);
  const error = await get(changes).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(DownloadError);
  expect(String(error)).not.toContain('hf_secret');
  return String(error);
};
const model = (...parts: string[]) => join(cache, 'models--owner--tiny', ...parts);

const json = (response: ServerResponse, body: string, headers: Record<string, string> = {}) => {
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body);
};
/** Sends `chunk` for ever, as fast as it is taken. */
const pour = (response: ServerResponse, chunk: Buffer) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  const more = () => {
    while (!response.destroyed && response.write(chunk));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
};

const API = /^\/api\//;
const TREE = /\/tree\//;
const STORED = /^\/stored\//;
const FILE = /\/resolve\//;

describe('answers', () => {
  it('without end are cut', async () => {
    const answer = (response: ServerResponse) => {
      pour(response, Buffer.alloc(1 << 16, '[1,'));
    };
    expect(await refusal({ path: API, answer })).toContain(
      'owner/tiny: expected an answer of at most 8.00 MB from 127.0.0.1',
    );
    expect(server.asked).toHaveLength(1);
  });

  it('that unpack to more are cut', async () => {
    const bomb = gzipSync(Buffer.alloc(16_000_000, ' '));
    const answer = (response: ServerResponse) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb);
    };
    expect(await refusal({ path: API, answer })).toContain('expected an answer of at most 8.00 MB');
  });

  it('that announce too much are not waited for', async () => {
    const answer = (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': '9000000' }).write('{');
    };
    expect(await refusal({ path: API, answer })).toContain('expected an answer of at most 8.00 MB');
  });

  it('of the wrong kind are refused', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    for (const body of ['', 'null', '[]', '"x"', '{"sha":1}', `{"sha":["${COMMIT}"]}`, deep]) {
      server.reset();
      const answer = (response: ServerResponse) => {
        json(response, body);
      };
      expect(await refusal({ path: /revision/, answer }), body.slice(0, 20)).toMatch(
        /^DownloadError: owner\/tiny(: expected an answer of a hub|, answer of the hub, sha: )/,
      );
    }
    const entry = { type: 'file', path: 'model.safetensors', size: 3, oid: 'a'.repeat(40) };
    for (const listing of [
      ...[null, {}, 'xyz', [null], [[]], [{ ...entry, type: 7 }], [{ ...entry, path: undefined }]],
      ...[[{ ...entry, size: -1 }], [{ ...entry, size: 2 ** 60 }], [{ ...entry, oid: '../../x' }]],
      ...[[{ ...entry, lfs: [] }], [{ ...entry, lfs: { oid: 'a'.repeat(40), size: 3 } }]],
    ]) {
      server.reset();
      const answer = (response: ServerResponse) => {
        json(response, JSON.stringify(listing));
      };
      const text = await refusal({ path: TREE, answer });
      expect(text, JSON.stringify(listing)).toMatch(/: expected .*, got .+\. (Check|Choose)/);
    }
  });

  it('in pages without end, and of files without end, are given up', async () => {
    const folders = JSON.stringify([{ type: 'directory', path: 'd', size: 0 }]);
    const paged = (response: ServerResponse) => {
      const next = `<${server.endpoint}/api/models/owner/tiny/tree/x?cursor=${String(Math.random())}>`;
      json(response, folders, { link: `${next}; rel="next"` });
    };
    expect(await refusal({ path: TREE, answer: paged })).toContain('at most 20 pages from 127');
    expect(server.asked.length).toBeLessThan(25);
    server.reset();
    const entry = (index: number) => ({ type: 'directory', path: `d${String(index)}`, size: 0 });
    const many = JSON.stringify(Array.from({ length: 10_001 }, (_, index) => entry(index)));
    const answer = (response: ServerResponse) => {
      json(response, many);
    };
    expect(await refusal({ path: TREE, answer })).toContain('expected at most 10000 files');
  });

  it('that never begin, and those that drip, end in time', async () => {
    const started = performance.now();
    expect(await refusal({ path: API, silent: true }, { stallMs: 200 })).toContain(
      'got none within 0.2 s',
    );
    server.reset();
    const answer = (response: ServerResponse) => {
      response.writeHead(200, {});
      const drip = setInterval(() => response.write(' '), 20);
      response.on('close', () => {
        clearInterval(drip);
      });
    };
    expect(await refusal({ path: API, answer }, { stallMs: 200 })).toContain('within 0.2 s');
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('redirects', () => {
  const to = (location: string) => (response: ServerResponse) => {
    response.writeHead(302, { location }).end();
  };

  it('in a circle, and to what is no address, are refused at once', async () => {
    expect(
      await refusal({ path: FILE, answer: to('/owner/tiny/resolve/x/config.json') }),
    ).toContain('expected an answer of a hub from 127.0.0.1');
    expect(server.asked.length).toBeLessThan(20);
    for (const location of ['file:///etc/passwd', 'ftp://localhost/x', 'http://[', 'data:,x']) {
      server.reset();
      const text = await refusal({ path: FILE, answer: to(location) });
      expect(text).toContain('got a redirect to no address of the web');
    }
  });

  it('to another host do not take the login along', async () => {
    const elsewhere = `${other.endpoint}/api/models/owner/tiny/revision/main`;
    server.fail({ path: /revision/, answer: to(elsewhere) });
    await get();
    expect(other.asked.map(({ authorization }) => authorization)).toEqual([null]);
    expect(server.asked[0].authorization).toBe('Bearer hf_secret');
  });

  it('of a listing to another host do not take it along either', async () => {
    const next = `<${other.endpoint}/api/models/owner/tiny/tree/${COMMIT}>; rel="next"`;
    server.fail({
      path: TREE,
      answer: (response) => {
        json(response, '[]', { link: next });
      },
    });
    await get();
    expect(other.asked.map(({ authorization }) => authorization)).toEqual([null]);
  });
});

describe('files', () => {
  it('that drip are given up, with what came', async () => {
    const answer = (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': WEIGHTS.length });
      const drip = setInterval(() => response.write(WEIGHTS.subarray(0, 1)), 20);
      response.on('close', () => {
        clearInterval(drip);
      });
    };
    expect(await refusal({ path: STORED, answer }, { stallMs: 100 })).toMatch(
      /owner\/tiny, model\.safetensors: expected at least 100 bytes in 0\.1 s, got \d\. Check the network/,
    );
  });

  it.each<readonly [string, (response: ServerResponse) => void]>([
    [
      'announce more',
      (response) => {
        response.writeHead(200, { 'content-length': 2 * WEIGHTS.length });
        response.end(Buffer.concat([WEIGHTS, WEIGHTS]));
      },
    ],
    [
      'do not end',
      (response) => {
        pour(response, Buffer.alloc(1 << 16));
      },
    ],
    [
      'unpack to more',
      (response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' });
        response.end(gzipSync(Buffer.alloc(16_000_000)));
      },
    ],
  ])('that %s are refused and not kept', async (_, answer) => {
    expect(await refusal({ path: STORED, answer })).toContain(
      `model.safetensors: expected ${String(WEIGHTS.length)} bytes, as the hub lists it, got more`,
    );
    expect(readdirSync(model('blobs'))).toEqual([gitChecksum(Buffer.from(CONFIG))]);
  });

  it('that break and begin anew without end are given up', async () => {
    const answer = (response: ServerResponse) => {
      response.writeHead(200, { 'content-length': WEIGHTS.length });
      response.write(WEIGHTS.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 20));
    };
    await refusal({ path: STORED, answer });
    expect(server.transfers().length).toBeLessThan(8);
  });

  it('whose address cannot be had are asked for a few times only', async () => {
    expect(await refusal({ path: FILE, status: 503 })).toContain('got status 503');
    expect(server.asked.filter(({ path }) => FILE.test(path))).toHaveLength(4);
  });
});
