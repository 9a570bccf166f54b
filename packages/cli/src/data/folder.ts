/**
 * Image folders: one sub-folder per class, its name is the class, sorted names are the labels.
 *
 *   photos/daisy/a.jpg  photos/daisy/summer/b.png  photos/rose/c.webp
 *
 * JPEG, PNG and WebP count, by extension in any case; other files are left out and counted; names
 * that start with a dot are ignored. Class folders are read to any depth. Links are followed, each
 * real folder once per scan, so a link to a parent ends; a link to nothing counts as an ignored
 * file.
 *
 * A folder that holds `train` and one of `val`, `valid`, `validation`, `test`, both with class
 * folders in them, is taken as a ready split (`train` and the first of those that exists).
 */
import { DataError } from '@thimble/core';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

export interface ImageFile {
  readonly path: string;
  /** Path inside the scanned folder with '/' between folders: the image's name on every machine. */
  readonly name: string;
  readonly label: number;
}

export interface ImageFolder {
  readonly root: string;
  /** Names of the classes in the order of their labels. */
  readonly classes: readonly string[];
  /** Sorted by name. */
  readonly files: readonly ImageFile[];
  /** Files that are not images by their extension. */
  readonly ignored: number;
}

const EXTENSIONS = /\.(jpe?g|png|webp)$/i;
const HELD_OUT = ['val', 'valid', 'validation', 'test'];

/**
 * Scans a folder of class folders.
 *
 * Throws DataError when it does not exist, is empty, holds no images or images of one class only.
 */
export async function scanFolder(root: string): Promise<ImageFolder> {
  const classes = await classFolders(root);
  const folder = await readClasses(root, classes);
  const present = folder.classes.filter((_, label) => folder.files.some((f) => f.label === label));
  if (present.length === folder.classes.length && present.length >= 2) return folder;
  if (present.length < 2) {
    throw new DataError({
      where: root,
      expected: 'images of at least two classes, one sub-folder per class',
      got: present.length === 0 ? 'no JPEG, PNG or WebP file' : `only the class '${present[0]}'`,
      todo: 'Add a sub-folder with images for every class, or check the path',
    });
  }
  return readClasses(root, present); // folders without a single image are no classes
}

/**
 * Scans a validation or test folder against the classes of training. A class may be missing here;
 * a class that training does not know is a DataError that names it.
 */
export async function scanFolderAs(root: string, classes: readonly string[]): Promise<ImageFolder> {
  const found = await classFolders(root);
  const known = found.filter((name) => classes.includes(name));
  const folder = await readClasses(root, classes, known);
  const unknown = found.filter((name) => !classes.includes(name));
  const strangers = (await readClasses(root, unknown)).files.map((file) => unknown[file.label]);
  if (strangers.length > 0) {
    throw new DataError({
      where: root,
      expected: `only the classes of training (${abridged(classes)})`,
      got: `images in '${[...new Set(strangers)].join("', '")}'`,
      todo: 'Rename or remove that folder, or add the class to the training folder',
    });
  }
  if (folder.files.length === 0) {
    throw new DataError({
      where: root,
      expected: 'images in folders named like the classes of training',
      got: 'no JPEG, PNG or WebP file',
      todo: 'Check the path',
    });
  }
  return folder;
}

/** The folders of a ready split, or null when `root` is to be split by us. */
export async function findSplit(root: string): Promise<{ train: string; held: string } | null> {
  const names = await classFolders(root);
  const held = HELD_OUT.find((name) => names.includes(name));
  if (held === undefined || !names.includes('train')) return null;
  if (names.some((name) => name !== 'train' && !HELD_OUT.includes(name))) return null;
  const split = { train: join(root, 'train'), held: join(root, held) };
  const inside = await Promise.all([classFolders(split.train), classFolders(split.held)]);
  return inside.every((folders) => folders.length > 0) ? split : null;
}

/** Names of the visible sub-folders, sorted by code unit so that labels are the same everywhere. */
export async function classFolders(root: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(root);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new DataError({
      where: root,
      expected: 'a readable folder with one sub-folder per class',
      got: code === 'ENOENT' ? 'nothing at this path' : code === 'ENOTDIR' ? 'a file' : code,
      todo: 'Check the path',
    });
  }
  const visible = names.filter((name) => !name.startsWith('.')).sort();
  if (visible.length === 0) {
    throw new DataError({
      where: root,
      expected: 'one sub-folder with images per class',
      got: 'an empty folder',
      todo: 'Add the images, or check the path',
    });
  }
  const kinds = await Promise.all(visible.map((name) => kindOf(join(root, name))));
  return visible.filter((_, i) => kinds[i] === 'folder');
}

/** Reads the folders `present` (all classes by default); labels are positions in `classes`. */
async function readClasses(
  root: string,
  classes: readonly string[],
  present = classes,
): Promise<ImageFolder> {
  const files: ImageFile[] = [];
  let ignored = 0;
  for (const [label, name] of classes.entries()) {
    if (!present.includes(name)) continue;
    const found = await walk(join(root, name), new Set());
    ignored += found.ignored;
    for (const path of found.images) {
      files.push({ path, name: relative(root, path).split(sep).join('/'), label });
    }
  }
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { root, classes, files, ignored };
}

async function walk(
  folder: string,
  visited: Set<string>,
): Promise<{ images: string[]; ignored: number }> {
  const real = await realpath(folder);
  if (visited.has(real)) return { images: [], ignored: 0 };
  visited.add(real);
  const images: string[] = [];
  let ignored = 0;
  for (const name of (await readdir(folder)).sort()) {
    if (name.startsWith('.')) continue;
    const path = join(folder, name);
    const kind = await kindOf(path);
    if (kind === 'folder') {
      const below = await walk(path, visited);
      images.push(...below.images);
      ignored += below.ignored;
    } else if (kind === 'file' && EXTENSIONS.test(name)) images.push(path);
    else ignored++;
  }
  return { images, ignored };
}

async function kindOf(path: string): Promise<'folder' | 'file' | 'other'> {
  try {
    const entry = await stat(path);
    return entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : 'other';
  } catch {
    return 'other'; // a link to nothing, or gone since the listing
  }
}

function abridged(names: readonly string[]): string {
  return names.length <= 8 ? names.join(', ') : `${names.slice(0, 8).join(', ')}, …`;
}
