/** Files that people take for weights: each is called what it is, with what to do. */
import { writeSafetensors } from '@thimble/core';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../src/weights/checkpoint.js';
import { openWeightFiles } from '../src/weights/files.js';
import { readJsonObject } from '../src/weights/json-file.js';

const folder = mkdtempSync(join(tmpdir(), 'thimble-content-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const POINTER =
  'version https://git-lfs.github.com/spec/v1\n' + `oid sha256:${'a'.repeat(64)}\nsize 346284714\n`;
const WEIGHTS = writeSafetensors([
  { name: 'w', dtype: 'U8', shape: [99], data: Array(99).fill(1) },
]);

/** A zip archive as far as its first entry. */
function zip(entry: string): Buffer {
  const header = Buffer.alloc(30);
  header.write('PK\x03\x04', 'latin1');
  header.writeUInt16LE(entry.length, 26);
  return Buffer.concat([header, Buffer.from(entry), Buffer.alloc(60)]);
}

function tar(): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write('model.safetensors');
  bytes.write('ustar', 257);
  return bytes;
}

const latin1 = (text: string) => Buffer.from(text, 'latin1');

describe('a file that is not safetensors', () => {
  it.each<readonly [string, string | Uint8Array, string]>([
    ['a.safetensors', '', 'got an empty file. Download or copy it again'],
    ['a.safetensors', POINTER, 'got a git-lfs pointer, which only says where the file is. Get'],
    ['a.safetensors', '<!DOCTYPE html>\n<html>', 'got a web page. Download the file itself'],
    ['a.safetensors', '\n <html lang="en"><head>', 'got a web page.'],
    ['a.safetensors', zip('archive/data.pkl'), 'got a PyTorch pickle'],
    ['a.safetensors', zip('layer.weight.npy'), 'got arrays of NumPy. Write them again'],
    ['a.npy', latin1('\x93NUMPY\x01\x00v\x00'), 'got arrays of NumPy.'],
    ['a.safetensors', zip('model/config.json'), 'got a zip archive. Unpack it'],
    ['a.pt', zip('model/code/x.py'), 'got a PyTorch pickle'],
    ['a.safetensors', gzipSync(WEIGHTS), 'got a compressed file or an archive. Unpack it'],
    ['a.safetensors', tar(), 'got a compressed file or an archive.'],
    ['a.gguf', 'GGUF\x03\x00\x00\x00\x01', 'got weights in GGUF, as of llama.cpp. Choose the'],
    ['a.h5', latin1('\x89HDF\r\n\x1a\n\x00'), 'got weights in HDF5, as of Keras.'],
    ['a.safetensors', latin1('\x08\x08\x12\x07pytorch\x1a'), 'got an ONNX model.'],
    ['a.tflite', '\x1c\x00\x00\x00TFL3', 'got a TensorFlow Lite model.'],
    ['a.jpg', latin1('\xff\xd8\xff\xe0\x00\x10JFIF'), 'got a picture or a document. Give'],
    ['a.safetensors', '{"weight_map": {}}', 'got JSON text. Give model.safetensors'],
    ['a.crdownload', WEIGHTS.subarray(0, 6), 'got a download that has not ended. Wait for it'],
    ['a.safetensors', 'hello', 'safetensors length field: expected at least 8 bytes, got 5'],
  ])('%s with %j', (name, content, message) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    expect(() => openWeightFiles(path)).toThrow(message);
    expect(() => openWeightFiles(path)).toThrow(path);
    rmSync(path);
  });

  it('is not seen in one that is, whatever its name', () => {
    const path = join(folder, 'w.crdownload');
    writeFileSync(path, WEIGHTS);
    openCheckpoint(path).close();
    writeFileSync(path, WEIGHTS.subarray(0, WEIGHTS.length - 9));
    expect(() => openCheckpoint(path)).toThrow('The file is cut short');
  });

  it('is a folder, a pipe, or nothing', () => {
    const below = join(folder, 'model.safetensors');
    mkdirSync(below);
    expect(() => openCheckpoint(below)).toThrow('expected a safetensors file, got a folder');
    const pipe = join(folder, 'pipe.safetensors');
    execFileSync('mkfifo', [pipe]);
    expect(() => openCheckpoint(pipe)).toThrow('got a pipe, socket or device');
    expect(() => openCheckpoint(join(folder, 'none'))).toThrow('got nothing at this path');
    expect(() => readJsonObject(pipe)).toThrow('expected JSON, got a pipe, socket or device');
  });
});

describe('a configuration that is not JSON', () => {
  it.each([
    [POINTER, 'expected JSON, got a git-lfs pointer'],
    ['<!doctype html>', 'expected JSON, got a web page'],
    ['{"a": ', 'expected JSON, got no JSON'],
    ['['.repeat(1e5), 'expected JSON, got more than 64 nested levels'],
    ['7', 'expected a JSON object, got 7'],
  ])('%.20s', (content, message) => {
    const path = join(folder, 'config.json');
    writeFileSync(path, content);
    expect(() => readJsonObject(path)).toThrow(`${path}: ${message}`);
    rmSync(path);
  });
});
