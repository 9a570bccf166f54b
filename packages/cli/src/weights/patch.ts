/**
 * patch: a copy of a file of weights in which single elements have other values. Every other byte is that of the
 * original, so that a patch and the patch back are the file that was there before.
 */
import { FormatError, InternalError } from '@thimble/core';
import { closeSync, copyFileSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { fileError } from '../host/files.js';
import { readHeader } from './checkpoint.js';

/** New values of some elements of a tensor. */
export interface Patch {
  readonly indices: ArrayLike<number>;
  readonly values: ArrayLike<number>;
}

/** Throws FileError, and FormatError where a tensor is not of 32-bit floats. */
export function patchedCopy(from: string, to: string, patches: ReadonlyMap<string, Patch>): void {
  try {
    copyFileSync(from, to);
    const descriptor = openSync(to, 'r+');
    try {
      patchFile(to, descriptor, patches);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw fileError(to, 'a file that can be written', error);
  }
}

function patchFile(path: string, descriptor: number, patches: ReadonlyMap<string, Patch>): void {
  const { tensors } = readHeader(path, descriptor);
  for (const [name, { indices, values }] of patches) {
    const info = tensors.get(name);
    if (info?.dtype !== 'F32') {
      throw new FormatError({
        where: `${path}, tensor ${name}`,
        expected: 'numbers of 32 bits, as training writes them',
        got: info?.dtype ?? 'no such tensor',
        todo: 'Use the folder as thimble train wrote it',
      });
    }
    const bytes = new DataView(new ArrayBuffer(info.end - info.begin));
    whole(readSync(descriptor, bytes, 0, bytes.byteLength, info.begin), bytes.byteLength, path);
    for (let at = 0; at < indices.length; at++) bytes.setFloat32(4 * indices[at], values[at], true);
    whole(writeSync(descriptor, bytes, 0, bytes.byteLength, info.begin), bytes.byteLength, path);
  }
}

/** A tensor is read or written whole: it is smaller than what the system moves at once. */
function whole(moved: number, bytes: number, path: string): void {
  if (moved !== bytes) throw InternalError.of(path, `${String(bytes)} bytes`, String(moved));
}
