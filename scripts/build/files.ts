/**
 * Files for the build: the repository's folders, source listing, content hashes and atomic writes.
 *
 * An output is current when its stamp (`<output>.stamp`, kept with the objects) holds the hash of
 * all that it was made from. Outputs are written to a temporary name and renamed, so that a build
 * that is interrupted, or two builds at once, never leave half a file.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository; this file runs as scripts/dist/build/files.js. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));
export const kernelFolder = join(root, 'kernels');
/** Compiled objects, named by the hash of what they were made from. */
export const objectFolder = join(root, 'scripts/dist/objects');

export interface SourceFile {
  readonly path: string;
  /** File name without folders. */
  readonly name: string;
  readonly text: string;
}

/** The files directly in `folder` whose names end in `extension`, by name; none when the folder is
 * absent. */
export async function sources(folder: string, extension: '.c' | '.h'): Promise<SourceFile[]> {
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder)).filter((name) => name.endsWith(extension)).sort();
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      return { path, name, text: await readFile(path, 'utf8') };
    }),
  );
}

/** Hash of the parts in order; a part's length is part of the hash, so parts cannot run into each
 * other. */
export function hashOf(parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 32);
}

/** True when every output exists and the stamp of the first one holds `hash`. */
export async function isCurrent(outputs: readonly string[], hash: string): Promise<boolean> {
  const stamp = stampOf(outputs);
  if (!existsSync(stamp) || !outputs.every((output) => existsSync(output))) return false;
  return (await readFile(stamp, 'utf8')) === hash;
}

/** Records that `outputs` were made from the inputs with this hash; call it last. */
export async function markCurrent(outputs: readonly string[], hash: string): Promise<void> {
  await writeAtomically(stampOf(outputs), hash);
}

export async function writeAtomically(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = temporaryFor(path);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(temporary, content);
  await rename(temporary, path);
}

/** Deletes every file in `folder` that is not one of `paths`. */
export async function keepOnly(folder: string, paths: readonly string[]): Promise<void> {
  const wanted = new Set(paths.map((path) => basename(path)));
  for (const name of await readdir(folder)) {
    if (!wanted.has(name)) await rm(join(folder, name), { force: true });
  }
}

/** A name in the same folder, so that the rename onto `path` is atomic. */
export function temporaryFor(path: string): string {
  return join(dirname(path), `.${process.pid}-${basename(path)}`);
}

function stampOf(outputs: readonly string[]): string {
  const first = outputs[0];
  if (first === undefined) throw new Error('stampOf: a build has at least one output');
  return join(objectFolder, `${basename(first)}.stamp`);
}
