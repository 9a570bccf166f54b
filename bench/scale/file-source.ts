/** A safetensors file as a source of weights, read one tensor at a time. */
import { readSafetensorsHeader, TensorView, type WeightSource } from '@thimble/core';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export interface FileSource extends WeightSource {
  close(): void;
}

export function fileSource(path: string): FileSource {
  const file = openSync(path, 'r');
  const bytes = (begin: number, end: number) => {
    const result = new Uint8Array(end - begin);
    if (readSync(file, result, 0, result.length, begin) === result.length) return result;
    throw new Error(`${path} ends before byte ${end}`);
  };
  const length = new DataView(bytes(0, 8).buffer).getBigUint64(0, true);
  const header = readSafetensorsHeader(bytes(0, 8 + Number(length)), fstatSync(file).size);
  return {
    name: path,
    shapes: new Map([...header.tensors].map(([name, { shape }]) => [name, shape])),
    read: (name) => {
      const info = header.tensors.get(name);
      if (!info) throw new Error(`${path}: no tensor ${name}`);
      return new TensorView(info, bytes(info.begin, info.end)).asFloat32();
    },
    close: () => {
      closeSync(file);
    },
  };
}
