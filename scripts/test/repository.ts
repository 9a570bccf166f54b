/** The texts of this repository, for tests of its words and links: what a person wrote, not what was built. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Built, fetched or measured: nobody's words. */
const LEFT_OUT = new Set([
  'node_modules',
  'dist',
  'build',
  'fixtures',
  'results',
  'shared',
  'logs',
]);
const TEXT = /\.(ts|js|c|h|py|md|sh)$/;

export interface TextFile {
  /** From the root, with slashes: `docs/memory.md`. */
  readonly path: string;
  readonly text: string;
}

/** Paths from the root of every file that is not left out; hidden folders neither. */
export function repositoryPaths(folder = ROOT): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name.startsWith('.') || LEFT_OUT.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return repositoryPaths(path);
    return entry.isFile() ? [relative(ROOT, path).replaceAll('\\', '/')] : [];
  });
}

export function textFiles(): readonly TextFile[] {
  return repositoryPaths()
    .filter((path) => TEXT.test(path) && !path.includes('.generated.'))
    .map((path) => ({ path, text: textOf(path) }));
}

export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}
