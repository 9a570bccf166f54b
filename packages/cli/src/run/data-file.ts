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
import { openToRead, writeAll, writeAnew } from '../host/files.js';
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
  const folder = commonFolder([filesOf(sources.train), filesOf(sources.validation)]);
  await writeAnew(path, (descriptor) => {
    for (const part of writtenParts(sources, folder)) writeAll(descriptor, Buffer.from(part));
  });
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

/** The JSON of a Written in parts: tens of thousands of images are never one text. */
function* writtenParts(
  { train, validation, strict }: RunSources,
  folder: string,
): Generator<string, void, void> {
  const head = JSON.stringify({ format: FORMAT, version: VERSION, folder, strict });
  yield `${head.slice(0, -1)},"train":`;
  yield* sourceParts(train, folder);
  yield ',"validation":';
  yield* sourceParts(validation, folder);
  yield '}\n';
}

/** Images of one part. */
const AT_ONCE = 500;

/** The JSON of a WrittenSource. */
function* sourceParts(source: SourceDescription, folder: string): Generator<string, void, void> {
  if (source.kind === 'shapes') {
    const { seed, count } = source;
    yield JSON.stringify({ shapes: { seed, count }, files: [] } satisfies WrittenSource);
    return;
  }
  yield '{"shapes":null,"files":[';
  for (let from = 0; from < source.files.length; from += AT_ONCE) {
    const images = source.files.slice(from, from + AT_ONCE).map(({ path, label }): WrittenImage => {
      const below = relative(folder, resolve(path)).split(sep).join('/');
      return { path: below, label, print: printOf(path) };
    });
    yield (from === 0 ? '' : ',') + JSON.stringify(images).slice(1, -1);
  }
  yield ']}';
}

function filesOf(source: SourceDescription): readonly ImageFile[] {
  return source.kind === 'folder' ? source.files : [];
}

/** The innermost folder that holds all files; '' for none. */
function commonFolder(lists: readonly (readonly ImageFile[])[]): string {
  let common: string | null = null;
  for (const files of lists) {
    for (const { path } of files) {
      const folder = dirname(resolve(path));
      common ??= folder;
      while (!within(folder, common)) common = dirname(common);
    }
  }
  return common ?? '';
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
