/**
 * Manifests: lists of images with their classes, as CSV, TSV or JSON lines, in the place of a folder of classes.
 *
 *   file,label,split              {"file": "a/1.jpg", "label": "daisy"}
 *   a/1.jpg,daisy,train           {"file": "a/2.jpg", "label": "rose", "split": "val"}
 *
 * A manifest is read as the folder that it describes (a class folder for each label, within a folder for each part of
 * a split where it has any), so that whatever holds for folders holds for it. `list.csv#train` is one part of it.
 * Paths count from the manifest's own folder.
 */
import { DataError, schema } from '@thimble/core';
import { CsvError, parse } from 'csv-parse/sync';
import { existsSync, readdirSync, realpathSync, statSync, type Stats } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { readText } from '../host/files.js';
import { counted } from '../terminal/format.js';
import { inOneLine } from '../terminal/terminal.js';
import type { FileEntry, FolderEntry } from './listing.js';
import { composed, extensionOf, partOf, type Part } from './names.js';

/** Field separators by extension; null: a JSON object on each line. */
const SEPARATORS: Readonly<Record<string, string | null>> = {
  csv: ',',
  tsv: '\t',
  jsonl: null,
  ndjson: null,
};

/** Names of columns, in lower case. */
const COLUMNS = {
  file: ['file', 'path', 'filename', 'file_name', 'filepath', 'image', 'image_path'],
  label: ['label', 'class', 'class_name', 'category'],
  split: ['split', 'subset', 'partition'],
} as const;

/** Some ten million lines. */
const MOST_BYTES = 2e9;

interface Row {
  readonly line: number;
  readonly fields: ReadonlyMap<string, string>;
}

/** What a line says of an image. */
export interface ManifestLine {
  readonly line: number;
  /** Path, from the manifest's own folder. */
  readonly name: string;
  readonly label: string;
  readonly part: Part | null;
}

interface Image extends ManifestLine {
  readonly file: FileEntry;
}

/** Whether `path` is a manifest, or a part of one, by its extension. */
export function isManifest(path: string): boolean {
  return Object.hasOwn(SEPARATORS, extensionOf(partedPath(path).file));
}

export interface Manifest {
  readonly folder: FolderEntry;
  /** The folder has one for each part of a split. */
  readonly isSplit: boolean;
}

/** The folder that a manifest describes. Throws DataError, and FileError where it cannot be read. */
export function listManifest(path: string): Manifest {
  const { file, part: wanted } = partedPath(path);
  const lines = parseManifest(file, readText(file, 'a manifest of images', MOST_BYTES));
  const images = imagesOf(file, lines);
  const parts = new Set(images.map(({ part }) => part));
  if (parts.has(null)) {
    if (parts.size > 1) throw halfSplit(file, images);
    return { folder: folderOf(file, file, images), isSplit: false };
  }
  const folders = [...parts].map((part) => {
    const name = String(part);
    return folderOf(
      `${file}#${name}`,
      name,
      images.filter((image) => image.part === part),
    );
  });
  const chosen = folders.find(({ name }) => name === wanted);
  if (chosen) return { folder: chosen, isSplit: false };
  const folder = { name: file, path: file, real: resolve(file), entries: folders };
  return { folder: { kind: 'folder', ...folder }, isSplit: true };
}

/** `list.csv#train` in its two parts. */
function partedPath(path: string): { readonly file: string; readonly part: string | null } {
  const [, file, part] = /^(.*)#(train|validation|test)$/.exec(path) ?? [null, path, null];
  return { file, part };
}

/** A folder with a class folder for each label. */
function folderOf(path: string, name: string, images: readonly Image[]): FolderEntry {
  const byLabel = new Map<string, FileEntry[]>();
  for (const { label, file } of images) {
    const files = byLabel.get(label);
    if (files) files.push(file);
    else byLabel.set(label, [file]);
  }
  const labels = [...byLabel.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const real = resolve(path);
  const entries = labels.map((label): FolderEntry => {
    const files = byLabel.get(label) ?? [];
    const at = `${path}/${label}`;
    return { kind: 'folder', name: label, path: at, real: `${real}/${label}`, entries: files };
  });
  return { kind: 'folder', name, path, real, entries };
}

function csvRows(file: string, text: string, delimiter: string): readonly Row[] {
  const rows: Row[] = [];
  try {
    parse(text, {
      ...{ delimiter, skip_empty_lines: true, trim: true },
      columns: (names: readonly string[]) => names.map((name) => name.toLowerCase()),
      on_record: (record: Readonly<Record<string, string>>, { lines }) => {
        rows.push({ line: lines, fields: new Map(Object.entries(record)) });
        return null;
      },
    });
    return rows;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw unreadable(file, 'lines of values as the first one names them', error.message);
  }
}

function jsonRows(file: string, text: string): readonly Row[] {
  return text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return [];
    const where = `${file}, line ${String(index + 1)}`;
    const todo = 'Write one object on each line';
    const value = schema.read(line, schema.anything, { file: where, error: DataError, todo });
    if (!schema.isObject(value)) throw unreadable(where, 'a JSON object', schema.brief(value));
    const fields = Object.entries(value).flatMap(([key, field]: [string, unknown]) =>
      typeof field === 'string' || typeof field === 'number'
        ? [[key.toLowerCase(), String(field)] as const]
        : [],
    );
    return [{ line: index + 1, fields: new Map(fields) }];
  });
}

/** The lines of a manifest. Throws DataError. @param file its name, with the extension that says what it is */
export function parseManifest(file: string, text: string): readonly ManifestLine[] {
  const separator = SEPARATORS[extensionOf(file)];
  const whole = text.replace(/^\ufeff/, '');
  const rows = separator === null ? jsonRows(file, whole) : csvRows(file, whole, separator);
  if (rows.length === 0) throw unreadable(file, 'a line for each image', 'none');
  return rows.map((row) => {
    const where = `${file}, line ${String(row.line)}`;
    const name = fieldOf(where, row, 'file');
    const label = composed(fieldOf(where, row, 'label'));
    if (label.includes('/')) throw unreadable(where, 'a label without /', label);
    return { line: row.line, name, label, part: splitOf(where, row) };
  });
}

function imagesOf(manifest: string, lines: readonly ManifestLine[]): readonly Image[] {
  const folder = dirname(resolve(manifest));
  const missing: string[] = [];
  const images = lines.flatMap((line): readonly Image[] => {
    const path = resolve(folder, line.name);
    const file = fileEntry(path, folder) ?? fileEntry(otherForm(path), folder);
    if (file) return [{ ...line, file }];
    missing.push(`${inOneLine(line.name)} in line ${String(line.line)}`);
    return [];
  });
  if (missing.length === 0) return images;
  throw new DataError({
    where: manifest,
    expected: `${counted(lines.length, 'file')} that are there, below ${folder}`,
    got: `${counted(missing.length, 'missing one')}: ${missing.slice(0, SHOWN).join(', ')}${missing.length > SHOWN ? ', …' : ''}`,
    todo: 'Correct the paths, which count from the folder of the manifest, or remove the lines',
  });
}

const SHOWN = 3;

/** The value of a column under any of its names. Throws DataError where there is none. */
function fieldOf(where: string, { fields }: Row, column: 'file' | 'label'): string {
  const name = COLUMNS[column].find((each) => fields.has(each));
  const value = name === undefined ? '' : (fields.get(name) ?? '').trim();
  if (value !== '') return value;
  const expected = `a value for ${COLUMNS[column].join(', ')}`;
  const got = name === undefined ? `only ${[...fields.keys()].join(', ')}` : 'an empty one';
  throw unreadable(where, expected, got);
}

/** null where no split is said. Throws DataError for a word that means no part of one. */
function splitOf(where: string, { fields }: Row): Part | null {
  const name = COLUMNS.split.find((each) => fields.has(each));
  const word = name === undefined ? '' : (fields.get(name) ?? '').trim();
  if (word === '') return null;
  const part = partOf(word)?.part;
  if (part) return part;
  throw unreadable(where, `train, val or test as ${String(name)}`, word);
}

/** null for what is no file. */
function fileEntry(path: string, folder: string): FileEntry | null {
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch {
    return null;
  }
  if (!stats.isFile()) return null;
  const name = relative(folder, path).split(sep).join('/');
  return { kind: 'file', name, path, bytes: stats.size, target: realpathSync(path) };
}

/**
 * The path of something that is there under a name of another composition: a disk, or the program that wrote the
 * manifest, may have taken `é` apart. `path` itself where there is none, or more than one.
 */
function otherForm(path: string): string {
  const parts = path.split(sep);
  let at = parts[0] + sep;
  for (const part of parts.slice(1)) {
    let next = part;
    if (!existsSync(join(at, part))) {
      const found = namesIn(at).filter((name) => composed(name) === composed(part));
      if (found.length !== 1) return path;
      [next] = found;
    }
    at = join(at, next);
  }
  return at;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function halfSplit(manifest: string, images: readonly Image[]): DataError {
  const first = images.find(({ part }) => part === null);
  const line = `line ${String(first?.line ?? 0)}`;
  return unreadable(`${manifest}, ${line}`, 'a part of the split, as other lines have', 'none');
}

function unreadable(where: string, expected: string, got: string): DataError {
  const todo = 'Correct the manifest; thimble train --help says what one looks like';
  return new DataError({ where, expected, got, todo });
}
