/** Manifests of images, damaged as texts: lines that name a file and a class each, or refused. */
import type { Random } from '@thimble/core';
import { parseManifest } from '../../packages/cli/src/data/manifest.js';
import type { Target } from '../campaign.js';
import { damagedBytes, pick } from '../mutate.js';

const ROWS = [
  ['a/1.jpg', 'cat', 'train'],
  ['a/2, wet.jpg', 'caf\u00e9', 'val'],
  ['b/"3"\n.png', 'dog \u{1f600}', 'test'],
];
const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`;
const FILES: readonly (readonly [name: string, text: string])[] = [
  ['list.csv', ['file,label,split', ...ROWS.map((row) => row.map(quoted).join(','))].join('\n')],
  [
    'list.csv',
    `\ufeffPath,Class\r\n${ROWS.map(([file, label]) => quoted(file) + ',' + label).join('\r\n')}`,
  ],
  ['list.tsv', 'image\tcategory\na/1.jpg\tcat\nb/2.jpg\tdog\n'],
  [
    'list.jsonl',
    ROWS.map(([file_name, label, split]) => JSON.stringify({ file_name, label, split })).join('\n'),
  ],
];

export const MANIFESTS: readonly Target[] = FILES.map(([file, text], index) => ({
  name: `manifest ${String(index)} (${file})`,
  make: (random: Random) => damagedText(random, text),
  check: (input) => {
    const given = typeof input === 'string' ? input : new TextDecoder().decode(input);
    for (const { line, name, label, part } of parseManifest(file, given)) {
      if (!(line >= 1) || name.trim() === '') return 'a line without a file';
      if (label.trim() === '' || label.includes('/')) return 'a label that is no class';
      if (label !== label.normalize('NFC')) return 'a label that is not composed';
      if (!['train', 'validation', 'test', null].includes(part)) return 'another part';
    }
    return null;
  },
}));

/** Bytes changed, or lines and separators moved about. */
function damagedText(random: Random, text: string): Uint8Array {
  const parts = text.split(/(?<=[\n,\t"])/u);
  if (random.below(2) === 0) {
    const at = random.below(parts.length);
    parts.splice(at, random.below(2), pick(random, ['"', ',', '\n', '\r\n', '\0', '', ...parts]));
  }
  const bytes = new TextEncoder().encode(parts.join(''));
  return random.below(2) === 0 ? bytes : damagedBytes(random, bytes);
}
