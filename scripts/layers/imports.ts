/** What the TypeScript sources of a folder import, by their text: dynamic imports and types count too. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Import } from './rooms.js';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Imports of files beside, by files below `folder`. */
export function relativeImports(folder: string): readonly Import[] {
  return sources(folder).flatMap((file) =>
    specifiers(file)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => {
        const target = relative(ROOT, resolve(ROOT, dirname(file), specifier));
        return { from: file, to: target.replace(/\.js$/, '.ts') };
      }),
  );
}

/** Names of packages and of Node's modules that files below `folder` import. */
export function packageImports(folder: string): readonly Import[] {
  return sources(folder).flatMap((file) =>
    specifiers(file)
      .filter((specifier) => !specifier.startsWith('.'))
      .map((specifier) => ({ from: file, to: specifier })),
  );
}

/** All TypeScript sources below `folder`, relative to the root. */
function sources(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .filter((path) => !/(^|\/)(dist|node_modules|test)\//.test(path))
    .map((path) => join(folder, path).replaceAll('\\', '/'))
    .sort();
}

/** What a file imports or re-exports. */
function specifiers(file: string): readonly string[] {
  const text = readFileSync(join(ROOT, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const pattern = /(?:from\s+|import\s*\(\s*|import\s+)['"]([^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => match[1]);
}
