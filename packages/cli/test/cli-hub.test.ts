/**
 * Models of the hub through the command, against a server on this machine: --model and --init by
 * name, revisions, the cache, --offline, and what people are told when the network fails. Needs the
 * compiled command (npm run build).
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../src/run/record.js';
import { jsonLines, lastLine, thimble, writeClasses, type Ended } from './cli-command.js';
import { HubServer, sha256 } from './hub-server.js';
import { hubFiles, PICTURES, shardedFiles, without, writeFiles } from './tiny-models.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-cli-hub-'));
const COLOURS = ['blue', 'green', 'red'];
const OLD = '0123456789abcdef0123456789abcdef01234567';
const NEW = 'fedcba9876543210fedcba9876543210fedcba98';
const files = hubFiles(['cat', 'dog', 'owl', 'fox']);
const weights = files['model.safetensors'];

let server: HubServer;
const path = (...parts: string[]) => join(folder, ...parts);
const run = (args: readonly string[], environment: Readonly<Record<string, string>> = {}) => {
  const hub = {
    HF_ENDPOINT: server.endpoint,
    HF_HOME: path('home'),
    HF_TOKEN: '',
    HF_HUB_CACHE: '',
  };
  return thimble(args, folder, undefined, { ...hub, ...environment });
};
const STEP = ['--batch', '8', '--lr', '0.001', '--augment', 'none', '--epochs', '1'];
const WHERE = ['--val', 'held', '--threads', '1', '--workers', '0', '--json'];
const train = (...args: string[]) => run(['train', 'photos', ...STEP, ...WHERE, ...args]);
const predict = (args: readonly string[], environment = {}) =>
  run(['predict', ...args, 'held/red/0.png', '--threads', '1', '--json'], environment);
const record = (name: string) =>
  JSON.parse(readFileSync(path(name, 'run.json'), 'utf8')) as RunRecord;
const message = (ended: Ended) => String(lastLine(ended)['message']);

beforeAll(async () => {
  await writeClasses(path('photos'), COLOURS, 8);
  await writeClasses(path('held'), COLOURS, 2);
  server = await HubServer.start();
  server.add('owner/tiny', OLD, files);
  server.add('owner/tiny', NEW, hubFiles(['cat', 'dog', 'owl', 'fox', 'cow']));
  server.add('owner/parts', OLD, shardedFiles(['cat', 'dog']));
});

afterEach(() => {
  server.reset();
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a model of the hub', () => {
  it('is trained from by name at a commit, with progress, and the record says which', async () => {
    const ended = await train('--model', `owner/tiny@${OLD}`, '--out', 'pinned');
    expect(ended.code, ended.stdout + ended.stderr).toBe(0);
    const downloads = jsonLines(ended).filter(({ event }) => event === 'download');
    const total = Object.values(files).reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(downloads.at(-1)).toMatchObject({ model: 'owner/tiny', done: total, total });
    expect(record('pinned')).toMatchObject({
      init: `owner/tiny@${OLD}`,
      classes: COLOURS,
      preprocess: PICTURES,
      origin: {
        hub: { name: 'owner/tiny', commit: OLD },
        files: [{ file: 'model.safetensors', sha256: sha256(weights) }],
      },
    });
  });

  it('is found again without network', async () => {
    const offline = await predict([`owner/tiny@${OLD}`, '--offline']);
    expect(offline.code, offline.stdout).toBe(0);
    expect(server.asked).toEqual([]);
    const none = await predict(['owner/tiny'], { HF_HUB_OFFLINE: '1' });
    expect(none.code).toBe(1);
    expect(lastLine(none)).toMatchObject({ event: 'error', name: 'DownloadError' });
    expect(message(none)).toMatch(
      /^owner\/tiny: expected a model that was downloaded before, in .*got none/,
    );
  });

  it('is followed on main, and taken at a revision with --init and --revision', async () => {
    const main = await run(['plan', 'owner/tiny', '--json']);
    expect(lastLine(main)).toMatchObject({ classes: 5, imageSize: 16 });
    const old = await run(['plan', 'owner/tiny', '--revision', OLD, '--json']);
    expect(lastLine(old)).toMatchObject({ classes: 4 });
    const kept = ['--init', 'owner/tiny', '--revision', OLD, '--out', 'kept'];
    expect((await train(...kept)).code).toBe(0);
    expect(record('kept').origin?.hub?.commit).toBe(OLD);
  });

  it('comes in shards, and says in words where it is from', async () => {
    const args = ['--init', 'owner/parts', '--val', 'held', '--threads', '1', '--out', 'parts'];
    const { stdout, code } = await run(['train', 'photos', ...STEP, ...args]);
    expect(code, stdout).toBe(0);
    expect(stdout).toMatch(
      /Weights {4}owner\/parts at 0123456789: ViT-\S+, 16 px, 2 classes, Hugging Face names\n/,
    );
    expect(record('parts').origin?.files).toHaveLength(2);
  });

  it('is the same as its folder', async () => {
    writeFiles(path('local'), files);
    const [here, there] = [await predict(['./local']), await predict([`owner/tiny@${OLD}`])];
    expect(jsonLines(there)[0]).toEqual(jsonLines(here)[0]);
  });
});

describe('a network that fails', () => {
  const fresh = () => ({ HF_HOME: mkdtempSync(path('home-')) });

  it('is waited for, and a broken download continued', async () => {
    server.fail({ path: /^\/stored/, cutAfter: 20_000 });
    server.fail({ path: /revision/, status: 503 });
    const ended = await predict(['owner/tiny'], fresh());
    expect(ended.code, ended.stdout).toBe(0);
    expect(server.transfers()).toEqual(['all', 'bytes=20000-']);
  });

  it('does not pass off other bytes', async () => {
    server.fail({ path: /^\/stored/, spoil: true });
    const ended = await predict(['owner/tiny'], fresh());
    expect(ended.code).toBe(1);
    expect(message(ended)).toMatch(
      /^owner\/tiny, model\.safetensors: expected SHA-256 \w{64}, got \w{64}\. /,
    );
    expect((await predict(['owner/tiny', '--offline'])).code).toBe(0); // what was there before
  });

  it('is said to be missing', async () => {
    const nowhere = await HubServer.start();
    const { endpoint } = nowhere;
    await nowhere.stop();
    const ended = await predict(['owner/tiny'], { ...fresh(), HF_ENDPOINT: endpoint });
    expect(message(ended)).toMatch(
      /^owner\/tiny: expected an answer from 127.*ECONNREFUSED.*Check the network/,
    );
  });

  it.each([
    [['owner/none'], /^owner\/none: expected a model on 127.*Check the spelling/],
    [['owner/tiny@v2'], /^owner\/tiny@v2: expected a revision of owner\/tiny/],
    [['owner/..'], /^model name: expected owner\/name of letters/],
    [['owner/tiny@../../x'], /^revision: expected a branch, a tag or a commit/],
    [['owner/tiny', '--revision', '..'], /^revision: expected a branch, a tag or a commit/],
  ])('is not asked in vain: %j', async (args, text) => {
    const ended = await predict(args, fresh());
    expect(ended.code).toBeGreaterThan(0);
    expect(message(ended)).toMatch(text);
  });

  it('says what a gated model wants, and never the login', async () => {
    server.fail({ path: /resolve/, status: 403, code: 'GatedRepo' }, 9);
    const ended = await predict(['owner/tiny'], { ...fresh(), HF_TOKEN: 'hf_secret' });
    expect(message(ended)).toMatch(
      /owner\/tiny, accept its conditions, with the login of HF_TOKEN/,
    );
    expect(ended.stdout + ended.stderr).not.toContain('secret');
  });

  it('says when a model has pickles only, and when its weights are no safetensors', async () => {
    server.add('owner/old', OLD, {
      ...without(files, 'model.safetensors'),
      'pytorch_model.bin': 'x',
    });
    expect(message(await predict(['owner/old'], fresh()))).toContain('python -c "import torch');
    server.add('owner/torn', OLD, { ...files, 'model.safetensors': weights.subarray(0, 9000) });
    const torn = await predict(['owner/torn'], fresh());
    expect(lastLine(torn)).toMatchObject({ name: 'FormatError' });
    expect(message(torn)).toContain(`snapshots/${OLD}/model.safetensors`);
  });

  it('needs a folder that can be written to', async () => {
    writeFileSync(path('file'), '');
    const ended = await predict(['owner/tiny'], { HF_HOME: path('file') });
    expect(message(ended)).toMatch(/expected a cache that can be written to at .*HF_HOME/);
  });
});
