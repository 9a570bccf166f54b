/**
 * Checkpoints of torch.save: pickles, that is programs, which are never run here. What to say
 * instead: the line that converts one.
 *
 * A file is one by its content (a zip of torch.save, a bare pickle of protocol 2 or later) or else by its
 * name; what begins like safetensors is none whatever its name.
 */
import { FormatError } from '@thimble/core';
import { closeSync, readSync } from 'node:fs';
import { openToRead } from '../host/files.js';
import { shellWord } from '../terminal/terminal.js';

const PICKLE = /\.(pt|pth|bin|ckpt|pkl|pickle)$/i;

/** True for a file name under which PyTorch saves pickles. */
export function isPickle(path: string): boolean {
  return PICKLE.test(path);
}

/** True for a file that is a pickle, whatever it is called; false without a file. */
export function isPickleFile(path: string): boolean {
  const start = firstBytes(path);
  if (start === null) return false;
  if (start[8] === BRACE) return false; // a header of safetensors behind its length
  const isZip = ZIP.every((byte, index) => start[index] === byte);
  const isBare = start[0] === PROTO && start[1] >= 2 && start[1] <= 5;
  return isZip || isBare || isPickle(path);
}

const BRACE = 0x7b;
const ZIP = [0x50, 0x4b, 0x03, 0x04];
/** The opcode with which a pickle of protocol 2 or later begins. */
const PROTO = 0x80;

/** The first nine bytes; null where there is no file to read. */
function firstBytes(path: string): Uint8Array | null {
  const bytes = new Uint8Array(9);
  try {
    const descriptor = openToRead(path, 'a file');
    try {
      readSync(descriptor, bytes);
    } finally {
      closeSync(descriptor);
    }
    return bytes;
  } catch {
    return null;
  }
}

/**
 * The line that writes `path` again as safetensors, beside it. It loads tensors only (`weights_only`) and
 * looks into `state_dict` or `model`, where trainers put them.
 */
export function convertLine(path: string): string {
  const to = PICKLE.test(path) ? path.replace(PICKLE, '.safetensors') : `${path}.safetensors`;
  const program = [
    'import torch, sys, safetensors.torch as s',
    "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True)",
    "d = d.get('state_dict', d.get('model', d))",
    's.save_file({k: v.contiguous().clone() for k, v in d.items() if torch.is_tensor(v)}, sys.argv[2])',
  ];
  return `python -c "${program.join('; ')}" ${shellWord(path)} ${shellWord(to)}`;
}

export function pickleError(path: string): FormatError {
  return new FormatError({
    where: path,
    expected: 'weights in safetensors',
    got: 'a PyTorch pickle, which could run any program when it is read',
    todo: `Convert it where you trust it:\n  ${convertLine(path)}\nThe line loads tensors only`,
  });
}
