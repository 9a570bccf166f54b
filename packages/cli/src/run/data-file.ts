/**
 * data.json of a run folder: the images of training and validation, each with its label and a print of its file.
 * With it a run that goes on sees the images that it began with, in the same order, and says which have changed.
 *
 * A print is SHA-256 of the size, the first and the last PRINT_BYTES of a file, shortened: two short reads for each
 * image, where reading all of them may take minutes. A change that leaves size and both ends alone is not noticed.
 */
import { FormatError, schema } from '@thimble/core';
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, readSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { ImageFile } from '../data/folder.js';
import type { SourceDescription } from '../data/source.js';
import { openToRead, writeTextAnew } from '../host/files.js';
import { parseFile } from '../weights/json-file.js';

const FORMAT = 'thimble-data';
const VERSION = 1;
const PRINT_BYTES = 1 << 14;
/** Characters of a print that are kept. */
const PRINT_LENGTH = 16;

/** What a run trains and validates on. */
export interface RunSources {
  readonly train: SourceDescription;
  readonly validation: SourceDescription;
  /** An image that cannot be read ends the run. */
  readonly strict: boolean;
}

/** As the file has it. */
interface Written {
  /** Folder of all images, as it was; '' where they are drawn. */
  readonly folder: string;
  readonly strict: boolean;
  readonly train: WrittenSource;
  readonly validation: WrittenSource;
}

interface WrittenSource {
  /** Drawn shapes; null for files. */
  readonly shapes: { readonly seed: number; readonly count: number } | null;
  readonly files: readonly WrittenImage[];
}

interface WrittenImage {
  /** Below the folder, with '/'. */
  readonly path: string;
  readonly label: number;
  /** null where the file could not be read. */
  readonly print: string | null;
}

/** What a run began with, and what has become of it. */
export interface KnownSources extends RunSources {
  readonly folder: string;
  /** Paths of images that are no longer there. */
  readonly gone: readonly string[];
  /** Paths of images that are others now. */
  readonly changed: readonly string[];
}

/** Writes the file into a save. */
export async function writeDataFile(path: string, sources: RunSources): Promise<void> {
  const { train, validation, strict } = sources;
  const folder = commonFolder([...filesOf(train), ...filesOf(validation)]);
  const written: Written = {
    ...{ folder, strict },
    train: writtenSource(train, folder),
    validation: writtenSource(validation, folder),
  };
  await writeTextAnew(
    path,
    `${JSON.stringify({ format: FORMAT, version: VERSION, ...written })}\n`,
  );
}

/**
 * Reads the file and looks at every image. Throws FileError and FormatError.
 *
 * @param moved where the images lie now; default: where they lay
 */
export function readDataFile(path: string, moved?: string): KnownSources {
  const what = 'the list of the images of a run';
  const written = parseFile(path, what, (text) => parseDataFile(path, text), MOST_BYTES);
  const folder = moved ?? written.folder;
  const gone: string[] = [];
  const changed: string[] = [];
  const sourceOf = ({ shapes, files }: WrittenSource): SourceDescription => {
    if (shapes) return { kind: 'shapes', ...shapes };
    return {
      kind: 'folder',
      files: files.map(({ path: name, label, print }) => {
        const at = join(folder, ...name.split('/'));
        const now = printOf(at);
        if (now !== print) (now === null ? gone : changed).push(at);
        return { path: at, name, label };
      }),
    };
  };
  const { train, validation, strict } = written;
  return {
    ...{ folder, strict, gone, changed },
    train: sourceOf(train),
    validation: sourceOf(validation),
  };
}

/** The list in a text. Throws FormatError. @param file what errors call it */
export function parseDataFile(file: string, json: string): Written {
  const document = { file, error: FormatError, todo: 'Use the file as thimble train wrote it' };
  schema.read(json, header, document);
  return schema.read(json, writtenReader, document);
}

const { list, nullable, object, objectOf, oneOf, refined, text, truth, whole } = schema;

const COUNT = whole({ least: 0, most: Number.MAX_SAFE_INTEGER });
const MOST_IMAGES = 100_000_000;
/** Some ten million images. */
const MOST_BYTES = 1e9;

const header = object({ format: oneOf(FORMAT), version: oneOf(VERSION) });

/** No path leads out of the folder. */
const imageReader = refined(
  objectOf<WrittenImage>({
    path: text(),
    label: COUNT,
    print: nullable(text({ most: PRINT_LENGTH })),
  }),
  ({ path }, place) => {
    const parts = path.split('/');
    if (parts.includes('..') || parts.includes(''))
      place.at('path').fail('a path below the folder', path);
  },
);

const sourceReader = objectOf<WrittenSource>({
  shapes: nullable(objectOf<NonNullable<WrittenSource['shapes']>>({ seed: COUNT, count: COUNT })),
  files: list(imageReader, { most: MOST_IMAGES }),
});

const writtenReader: schema.Reader<Written> = objectOf<Written>({
  ...{ folder: text(), strict: truth, train: sourceReader, validation: sourceReader },
});

function writtenSource(source: SourceDescription, folder: string): WrittenSource {
  if (source.kind === 'shapes') {
    const { seed, count } = source;
    return { shapes: { seed, count }, files: [] };
  }
  const files = source.files.map(({ path, label }) => ({
    path: relative(folder, resolve(path)).split(sep).join('/'),
    label,
    print: printOf(path),
  }));
  return { shapes: null, files };
}

function filesOf(source: SourceDescription): readonly ImageFile[] {
  return source.kind === 'folder' ? source.files : [];
}

/** The innermost folder that holds all files; '' for none. */
function commonFolder(files: readonly ImageFile[]): string {
  const folders = new Set(files.map(({ path }) => dirname(resolve(path))));
  return [...folders].reduce(
    (common, folder) => {
      let at = common;
      while (!within(folder, at)) at = dirname(at);
      return at;
    },
    [...folders].at(0) ?? '',
  );
}

function within(folder: string, outer: string): boolean {
  return folder === outer || folder.startsWith(outer.endsWith(sep) ? outer : outer + sep);
}

/** null where nothing can be read. */
function printOf(path: string): string | null {
  try {
    const descriptor = openToRead(path, 'an image');
    try {
      const { size } = fstatSync(descriptor);
      const hash = createHash('sha256').update(String(size));
      const chunk = new Uint8Array(PRINT_BYTES);
      for (const at of new Set([0, Math.max(0, size - PRINT_BYTES)])) {
        hash.update(chunk.subarray(0, readSync(descriptor, chunk, 0, PRINT_BYTES, at)));
      }
      return hash.digest('hex').slice(0, PRINT_LENGTH);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return null;
  }
}
