/** Answers of a hub: what it says of a revision, and its listing, through the functions of the command. */
import type { Random } from '@thimble/core';
import { askListing } from '../../packages/cli/src/hub/model.js';
import { hubReference } from '../../packages/cli/src/hub/reference.js';
import type { HubSettings } from '../../packages/cli/src/hub/settings.js';
import type { Target } from '../campaign.js';
import { damagedJson } from '../mutate.js';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const INFO = {
  ...{ _id: '1', id: 'owner/name', sha: COMMIT, private: false, gated: false },
  ...{ downloads: 1, likes: 0, lastModified: '2024-01-01T00:00:00Z', pipeline_tag: 'x' },
};
const LISTING = [
  { type: 'directory', path: 'onnx', size: 0, oid: COMMIT },
  { type: 'file', path: 'config.json', size: 99, oid: COMMIT },
  {
    ...{ type: 'file', path: 'model.safetensors', size: 4829056, oid: COMMIT },
    lfs: { oid: 'a'.repeat(64), size: 4829056, pointerSize: 134 },
  },
];

/** A hub that answers with these two texts. */
function settingsOf(info: string, listing: string): HubSettings {
  return {
    ...{ endpoint: 'http://hub', cache: '/none', token: null, offline: false, retryMs: 0 },
    stallMs: 10_000,
    fetch: (address) => {
      const isTree = new URL(address instanceof Request ? address.url : address).pathname.includes(
        '/tree/',
      );
      return Promise.resolve(new Response(isTree ? listing : info));
    },
  };
}

export const hub: Target = {
  name: 'answers of a hub',
  make: (random: Random) => {
    const isInfo = random.below(2) === 0;
    const texts = [JSON.stringify(INFO), JSON.stringify(LISTING)];
    texts[isInfo ? 0 : 1] = damagedJson(random, isInfo ? INFO : LISTING);
    return JSON.stringify(texts);
  },
  check: async (input) => {
    const [info, listing] = JSON.parse(String(input)) as readonly [string, string];
    const found = await askListing(hubReference('owner/name'), settingsOf(info, listing));
    if (!/^[0-9a-f]{40}$/.test(found.commit)) return 'a commit that is none';
    for (const [key, { path, bytes, checksum }] of found.files) {
      const isPlain = key === path && /^\w[\w.-]*$/.test(path);
      if (!isPlain) return 'a file that cannot be stored under its name';
      if (!Number.isSafeInteger(bytes) || bytes < 0) return 'a file of no size';
      if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(checksum)) return 'a file without a checksum';
    }
    return null;
  },
};
