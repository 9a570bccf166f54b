/** What a newcomer reads first: README fits a screen, links lead somewhere, files that are named exist. */
import { existsSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { METHODS, SAVED_FORMS } from '@thimble/core';
import { repositoryPaths, ROOT, textFiles, textOf } from './repository.js';

// Typedoc looks at the links of what it makes.
const PAGES = textFiles().filter(({ path }) => /^(?!docs\/api\/).*\.md$/.test(path));

describe('README.md', () => {
  const lines = textOf('README.md').trimEnd().split('\n');
  const commands = lines.filter((line) => /^(npm|npx|node) /.test(line));

  it('is a screen of text and a few links: 45 lines, then 5, of 100 columns', () => {
    expect(lines.lastIndexOf('```')).toBeLessThan(45);
    expect(lines.length).toBeLessThanOrEqual(50);
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
  });

  it('has the demo and the tests in a line each, and twelve lines for photos of one’s own', () => {
    expect(commands.slice(0, 2)).toEqual(['npm ci && npm run demo', 'npm ci && npm test']);
    expect(commands.slice(2)).toHaveLength(12);
  });

  it('leads to every page of docs/', () => {
    const pages = repositoryPaths().filter((path) => /^docs\/.*\.md$/.test(path));
    const reached = reachedFrom('README.md');
    expect(pages.length).toBeGreaterThan(5);
    expect(pages.filter((path) => !reached.has(path))).toEqual([]);
  });
});

describe.each(PAGES)('$path', ({ path, text }) => {
  it('links to files and headings that exist', () => {
    expect(linksOf(text).filter((link) => !leadsSomewhere(path, link))).toEqual([]);
  });
});

describe('docs/methods.md', () => {
  it.each(Object.keys(METHODS))('explains %s', (name) => {
    expect(textOf('docs/methods.md')).toMatch(new RegExp(`^\\| \`${name}[=\`]`, 'm'));
  });
});

describe('docs/memory.md', () => {
  it.each(Object.keys(SAVED_FORMS))('explains --saved %s', (form) => {
    expect(textOf('docs/memory.md')).toMatch(new RegExp(`^\\| \`${form}\``, 'm'));
  });
});

it('ARCHITECTURE.md and CONTRIBUTING.md name files that exist', () => {
  const named = ['ARCHITECTURE.md', 'CONTRIBUTING.md'].flatMap((page) =>
    [...textOf(page).matchAll(/`([\w./-]+\.(?:ts|js|c|h|py|sh|md))`/g)].map((match) => match[1]),
  );
  const all = repositoryPaths();
  const exists = (name: string) => all.some((path) => path === name || path.endsWith(`/${name}`));
  expect(named.length).toBeGreaterThan(80);
  expect([...new Set(named)].filter((name) => !exists(name.replace(/^\.\//, '')))).toEqual([]);
});

/** Pages to which links lead from `page`, over any number of others. */
function reachedFrom(page: string, reached = new Set<string>()): ReadonlySet<string> {
  if (reached.has(page)) return reached;
  reached.add(page);
  for (const link of linksOf(textOf(page))) {
    const target = posix.join(dirname(page), link.split('#')[0]);
    if (target.endsWith('.md') && existsSync(join(ROOT, target))) reachedFrom(target, reached);
  }
  return reached;
}

/** Addresses within the repository. */
function linksOf(text: string): readonly string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1])
    .filter((link) => !/^[a-z]+:/.test(link));
}

/** @param from the page that has the link */
function leadsSomewhere(from: string, link: string): boolean {
  const [file, heading] = link.split('#');
  const target = file === '' ? from : posix.join(dirname(from), file);
  if (!existsSync(join(ROOT, target))) return false;
  return heading === undefined || headings(textOf(target)).includes(heading);
}

/** As GitHub makes them. */
function headings(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map((match) =>
    match[1]
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
