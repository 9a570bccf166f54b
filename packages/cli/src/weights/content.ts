/**
 * What a file is that is not what it should be: by its first bytes, and by its name where these tell nothing. Looked
 * at only where reading it failed, so nothing here can refuse a file that is right.
 */
import { FormatError } from '@thimble/core';
import { closeSync, openSync, readSync } from 'node:fs';
import { isPickle, isPickleFile, pickleError } from './pickle.js';

/** A kind of file that people take for weights. */
interface Kind {
  readonly what: string;
  readonly todo: string;
  /** @param text of the first bytes, a character each */
  is(text: string, path: string): boolean;
}

const UNPACK = 'Unpack it, and give the safetensors file that is in it';
const OTHER = 'Choose the safetensors files of the same model';
const PAGE =
  'Download the file itself, not the page that shows it: on the hub /resolve/ for /blob/';
const starts =
  (...beginnings: readonly string[]) =>
  (text: string) =>
    beginnings.some((beginning) => text.startsWith(beginning));

const KINDS: readonly Kind[] = [
  {
    what: 'an empty file',
    todo: 'Download or copy it again',
    is: (text) => text === '',
  },
  {
    what: 'a git-lfs pointer, which only says where the file is',
    todo: 'Get the file itself: git lfs pull, in the folder of the repository',
    is: starts('version https://git-lfs.github.com/spec/'),
  },
  {
    what: 'a download that has not ended',
    todo: 'Wait for it, or download the file again',
    is: (_, path) => /\.(crdownload|part|partial|download|incomplete|aria2|!ut)$/i.test(path),
  },
  {
    what: 'a web page',
    todo: PAGE,
    is: (text) => /^\s*<(!doctype|html|head|\?xml|body)\b/i.test(text.replace('\xef\xbb\xbf', '')),
  },
  {
    what: 'arrays of NumPy',
    todo: 'Write them again: safetensors.numpy.save_file(dict(numpy.load(FILE)), NAME)',
    is: (text) => text.startsWith('\x93NUMPY') || firstEntry(text)?.endsWith('.npy') === true,
  },
  {
    what: 'a zip archive',
    todo: UNPACK,
    is: (text, path) => {
      const entry = firstEntry(text) ?? '';
      return entry !== '' && !/(\.pkl|version|byteorder)$/.test(entry) && !isPickle(path);
    },
  },
  {
    what: 'a compressed file or an archive',
    todo: UNPACK,
    is: (text) =>
      starts('\x1f\x8b', '\xfd7zXZ\0', '\x28\xb5\x2f\xfd', 'BZh', '7z\xbc\xaf', 'Rar!')(text) ||
      text.slice(257, 262) === 'ustar',
  },
  { what: 'weights in GGUF, as of llama.cpp', todo: OTHER, is: starts('GGUF') },
  { what: 'weights in HDF5, as of Keras', todo: OTHER, is: starts('\x89HDF\r\n') },
  { what: 'a TensorFlow Lite model', todo: OTHER, is: (text) => text.slice(4, 8) === 'TFL3' },
  {
    what: 'an ONNX model',
    todo: 'Give the weights that it was exported from',
    // Protocol buffers: field 1, the version of the IR, then another field of the model
    is: (text, path) =>
      /^\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]/.test(text) || /\.onnx$/i.test(path),
  },
  {
    what: 'a picture or a document',
    todo: 'Give the weights where they belong: the run or the model comes before the pictures',
    is: starts('\xff\xd8\xff', '\x89PNG', 'GIF8', '%PDF', 'RIFF'),
  },
];

const JSON_TEXT: Kind = {
  what: 'JSON text',
  todo: 'Give model.safetensors, model.safetensors.index.json, or the folder with either',
  is: (text) => /^(\xef\xbb\xbf)?\s*[{[]/.test(text),
};

/** The error for a file that cannot be read as safetensors; null where its content tells nothing. */
export function notSafetensors(path: string): FormatError | null {
  const text = firstText(path);
  if (text === null || text[8] === '{') return null; // a damaged header behind its length
  const kind = [...KINDS, JSON_TEXT].find(({ is }) => is(text, path));
  if (kind) return kindError(path, 'weights in safetensors', kind);
  return isPickleFile(path) ? pickleError(path) : null;
}

/** The same for a file that should be JSON. */
export function notJson(path: string): FormatError | null {
  const text = firstText(path);
  const kind = text === null ? undefined : KINDS.find(({ is }) => is(text, path));
  return kind ? kindError(path, 'JSON', kind) : null;
}

function kindError(where: string, expected: string, { what: got, todo }: Kind): FormatError {
  return new FormatError({ where, expected, got, todo });
}

/** Bytes that are looked at: a tar archive says so at 257. */
const LOOKED_AT = 512;

/** The first bytes, a character each; null where there is no file to read. */
function firstText(path: string): string | null {
  const bytes = Buffer.alloc(LOOKED_AT);
  try {
    const descriptor = openSync(path, 'r');
    try {
      return bytes.toString('latin1', 0, readSync(descriptor, bytes));
    } finally {
      closeSync(descriptor);
    }
  } catch {
    return null;
  }
}

/** The name of the first file in a zip archive; null for none. */
function firstEntry(text: string): string | null {
  if (!text.startsWith('PK\x03\x04')) return null;
  const length = text.charCodeAt(26) + 256 * text.charCodeAt(27);
  return text.slice(30, 30 + length);
}
