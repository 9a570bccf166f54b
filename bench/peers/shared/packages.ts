/** Installed packages. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The main file of a package; null where it is not installed. */
export function packageMain(name: string): string | null {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch {
    return null;
  }
}

/** The version in a package's package.json, whether or not it exports that file. */
export function packageVersion(name: string): string {
  for (let folder = dirname(packageMain(name) ?? '/'); folder !== '/'; folder = dirname(folder)) {
    const record = recordIn(folder);
    if (record?.name === name) return record.version;
  }
  return 'unknown version';
}

function recordIn(folder: string): { readonly name: string; readonly version: string } | null {
  try {
    const text = readFileSync(join(folder, 'package.json'), 'utf8');
    return JSON.parse(text) as { name: string; version: string };
  } catch {
    return null;
  }
}
