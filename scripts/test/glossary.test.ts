/**
 * One name for one thing: every term of the glossary in ARCHITECTURE.md is used, and words that were given up do not
 * come back.
 */
import { describe, expect, it } from 'vitest';
import { textFiles, textOf, type TextFile } from './repository.js';

/** A name that was given up, what it is called now, and where it may still stand. */
interface Retired {
  readonly word: RegExp;
  readonly now: string;
  /** Beginnings of paths. */
  readonly except?: readonly string[];
}

const METHODS = 'packages/core/src/methods/';
const PREPARE = 'packages/core/src/prepare/';
const CLI = 'packages/cli/';

const RETIRED: readonly Retired[] = [
  { word: /\bask(s|ed|ing)? ahead\b|\bask_ahead\b/i, now: 'prefetch' },
  { word: /\bchang(e|es|ed) hands\b/i, now: 'work stealing' },
  {
    word: /\bwait(s|ed|ing)? for the backward pass\b|\bwhat (else )?waits\b/i,
    now: 'is saved for the backward pass',
    except: [METHODS, PREPARE, CLI, 'packages/core/src/compile.ts', 'packages/core/test/prepare'],
  },
  {
    word: /\bcomput(e|es|ed|ing) (it |them |\w+ )?again\b/i,
    now: 'recompute',
    except: [METHODS, CLI],
  },
  { word: /\bof the wanted time\b/, now: 'CPU steal time' },
  {
    word: /\bimages of (one|a) (training )?pass\b|\bin (one|\d+) pass(es)?['’`:,)]|\bpasses into which\b/i,
    now: 'micro-batch',
    except: [METHODS, PREPARE, CLI],
  },
  {
    word: /'(iterate|iteration|decomposition)'/,
    now: "what Refresh says: 'whole', 'sequential', 'decompose'",
  },
  {
    word: /\b(class|interface|type|struct) (Job|Needs|Need|Wanted|Prepared|Range|Beginning)\b/,
    now: 'a name that says of what',
    except: [CLI, PREPARE],
  },
  { word: /readme:table/, now: 'bench:tables' },
];

/** Exported types that still mean two things, to be renamed. */
const DOUBLE = ['Buffers', 'Entry', 'Inputs', 'Layout', 'Part', 'Reason', 'Site', 'Stage'];

/** History, and this list. */
const FREE = new Set(['CHANGELOG.md', 'scripts/test/glossary.test.ts']);

const page = textOf('ARCHITECTURE.md');
const begin = page.indexOf('## Glossary');
const rows = page
  .slice(begin)
  .split('\n')
  .filter((line) => line.startsWith('| ') && !/^\| (term|-)/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()));
const terms = rows.flatMap(([, term]) => term.split(', '));
const files = textFiles().filter(({ path }) => !FREE.has(path));

describe('the glossary of ARCHITECTURE.md', () => {
  const texts = files
    .map(({ path, text }) => (path === 'ARCHITECTURE.md' ? text.slice(0, begin) : text))
    .join('\n')
    .toLowerCase();

  it('explains each term once', () => {
    expect(terms.length).toBeGreaterThan(60);
    expect(terms.filter((term, at) => terms.indexOf(term) !== at)).toEqual([]);
    expect(rows.filter(([, , meaning]) => meaning.length < 10)).toEqual([]);
  });

  it('has no term that nobody uses', () => {
    expect(terms.filter((term) => !texts.includes(term.toLowerCase()))).toEqual([]);
  });

  it('has no term that was given up', () => {
    const meanings = rows.map((cells) => cells.join(' ')).join('\n');
    expect(RETIRED.filter(({ word }) => word.test(meanings))).toEqual([]);
  });
});

describe.each(RETIRED)('$word', ({ word, now, except = [] }) => {
  it(`is called: ${now}`, () => {
    const allowed = ({ path }: TextFile) => except.some((begins) => path.startsWith(begins));
    const found = files
      .filter((file) => !allowed(file))
      .flatMap(({ path, text }) => placesOf(word, text).map((place) => `${path}: ${place}`));
    expect(found).toEqual([]);
  });
});

it('means one thing by the name of an exported type', () => {
  const names = files
    .filter(({ path }) => /^packages\/\w+\/src\//.test(path))
    .flatMap(({ text }) => [...text.matchAll(/^export (?:interface|type|class) (\w+)/gm)])
    .map((match) => match[1]);
  const double = names.filter((name, at) => names.indexOf(name) !== at);
  expect(names.length).toBeGreaterThan(300);
  expect(double.filter((name) => !DOUBLE.includes(name))).toEqual([]);
});

it('finds a word that was given up, also where a line of a comment ends in it', () => {
  expect(placesOf(RETIRED[0].word, ' * We ask\n * ahead here.\n')).toEqual([
    '* We ask ahead here.',
  ]);
});

/** The text around each place. */
function placesOf(word: RegExp, text: string): readonly string[] {
  const flat = text.replace(/\s*\n[ \t]*(\*|\/\/|#)*[ \t]*/g, ' ');
  return [...flat.matchAll(new RegExp(word.source, `g${word.flags}`))].map(({ index, 0: found }) =>
    flat.slice(Math.max(0, index - 30), index + found.length + 30).trim(),
  );
}
