/**
 * safetensors: the official writer's files, round trips, and every way in which a header can lie.
 * The real weight files of a sibling folder `shared` are read where they exist. Longer than
 * other files because every corrupt file is spelled out.
 */

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../src/errors.js';
import {
  safetensorsData,
  TensorView,
  readSafetensors,
  readSafetensorsHeader,
  safetensorsHeaderEnd,
  writeSafetensors,
} from '../src/formats/index.js';
import type { TensorSource } from '../src/formats/index.js';
import { bfloat16Bits, bfloat16Value, float16Bits, float16Value } from '../src/formats/float16.js';

const fixture = (name: string): Uint8Array =>
  readFileSync(new URL(`../../../reference/fixtures/${name}`, import.meta.url));
const shared = fileURLToPath(new URL('../../../../shared', import.meta.url));

function tensor(file: { tensors: ReadonlyMap<string, TensorView> }, name: string): TensorView {
  const view = file.tensors.get(name);
  if (view === undefined) throw new Error(`no tensor ${name}`);
  return view;
}

/** A file with this header and as many zero bytes of data; `claim` replaces the header's length. */
function forge(header: string | Uint8Array, dataBytes = 0, claim?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, claim ?? BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

const entry = (dtype: string, shape: string, begin: number | string, end: number | string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

describe('a file of the official writer', () => {
  const bytes = fixture('safetensors.safetensors');
  const file = readSafetensors(bytes);
  const floats = [0, -0, 1, -2.5, 1 / 3, 65504, 6e-8, 1e-3, Infinity, -Infinity];

  it('gives every float dtype', () => {
    expect([...tensor(file, 'float64').toFloat64()]).toEqual(floats);
    expect(tensor(file, 'float64').toFloat32()).toEqual(new Float32Array(floats));
    expect(tensor(file, 'float32').toFloat32()).toEqual(new Float32Array(floats));
    expect([...tensor(file, 'float32').toFloat64()]).toEqual([...new Float32Array(floats)]);
    expect([...tensor(file, 'float16').toFloat64()]).toEqual(
      floats.map((value) => float16Value(float16Bits(value))),
    );
    for (const name of ['float64', 'float32', 'float16', 'bfloat16', 'scalar', 'empty']) {
      expect(tensor(file, name).asFloat32()).toEqual(tensor(file, name).toFloat32());
    }
    expect(tensor(file, 'float16').toFloat32()[4]).toBe(0.333251953125);
    expect(tensor(file, 'float16').toFloat32()[6]).toBe(2 ** -24);
    expect([...tensor(file, 'bfloat16').toFloat32()]).toEqual(
      floats.map((value) => bfloat16Value(bfloat16Bits(value))),
    );
    expect(tensor(file, 'bfloat16').toFloat32()[4]).toBe(0.333984375);
  });

  it('gives every integer dtype', () => {
    expect([...tensor(file, 'int64').toInt32()]).toEqual([0, -1, 2147483647, -2147483648]);
    expect([...tensor(file, 'int32').toInt32()]).toEqual([0, -1, 2147483647, -2147483648]);
    expect([...tensor(file, 'int16').toInt32()]).toEqual([0, -1, 32767, -32768]);
    expect([...tensor(file, 'int8').toInt32()]).toEqual([0, -1, 127, -128]);
    expect([...tensor(file, 'uint8').toInt32()]).toEqual([0, 1, 255]);
    expect([...tensor(file, 'bool').toInt32()]).toEqual([1, 0, 1]);
  });

  it('gives scalars, empty tensors, escaped names and metadata', () => {
    expect(tensor(file, 'scalar').shape).toEqual([]);
    expect([...tensor(file, 'scalar').toFloat32()]).toEqual([Math.fround(0.1)]);
    expect(tensor(file, 'empty').shape).toEqual([3, 0, 2]);
    expect(tensor(file, 'empty').toFloat32()).toHaveLength(0);
    expect(tensor(file, 'name "quoted" \\ \n é 漢 😀').length).toBe(1);
    expect([...file.metadata]).toEqual([['écrit par', 'safetensors "officiel"']]);
  });

  it('refuses a conversion that would lose the kind of number', () => {
    expect(() => tensor(file, 'int32').toFloat32()).toThrow(
      'tensor "int32": expected a float dtype, got I32. Use toInt32',
    );
    expect(() => tensor(file, 'float16').toInt32()).toThrow(
      'tensor "float16": expected an integer dtype, got F16. Use toFloat32',
    );
    expect(() => tensor(file, 'int64.wide').toInt32()).toThrow(
      'tensor "int64.wide": expected integers of 32 bits, got 1099511627776 at element 0.',
    );
  });

  it('is written again byte for byte, in whatever order the tensors come', () => {
    const sources = [...file.tensors.values()].reverse();
    expect(writeSafetensors(sources, file.metadata)).toEqual(new Uint8Array(bytes));
  });

  it('can be read in parts', () => {
    const end = safetensorsHeaderEnd(bytes.subarray(0, 8), bytes.length);
    const header = readSafetensorsHeader(bytes.subarray(0, end), bytes.length);
    expect([...header.tensors.keys()]).toEqual([...file.tensors.keys()]);
    for (const info of header.tensors.values()) {
      const view = new TensorView(info, bytes.subarray(info.begin, info.end));
      expect(view.bytes).toEqual(tensor(file, info.name).bytes);
      expect(() => new TensorView(info, bytes.subarray(0, 1000))).toThrow(FormatError);
    }
    expect(() => readSafetensorsHeader(bytes.subarray(0, end - 1), bytes.length)).toThrow(
      /^safetensors header: expected its \d+ bytes, got fewer bytes\./,
    );
  });
});

describe('writing', () => {
  it('encodes numbers and aligns each tensor in the file', () => {
    const sources: TensorSource[] = [
      { name: 'flags', dtype: 'BOOL', shape: [3], data: [1, 0, 1] },
      { name: 'half', dtype: 'F16', shape: [2], data: [1 + 2 ** -11, 1 + 3 * 2 ** -11] },
      { name: 'brain', dtype: 'BF16', shape: [1], data: [1 + 2 ** -8] },
      { name: 'labels', dtype: 'I64', shape: [2], data: new Int32Array([7, -7]) },
      { name: 'weight', dtype: 'F32', shape: [1, 2], data: new Float32Array([0.1, -0]) },
    ];
    const file = readSafetensors(writeSafetensors(sources, new Map([['step', '3']])));
    expect([...file.tensors.keys()]).toEqual(['labels', 'weight', 'brain', 'half', 'flags']);
    for (const view of file.tensors.values()) {
      expect(view.bytes.byteOffset % (view.bytes.length / view.length)).toBe(0);
    }
    expect([...tensor(file, 'half').toFloat64()]).toEqual([1, 1 + 2 ** -9]); // ties go to even
    expect([...tensor(file, 'brain').toFloat64()]).toEqual([1]);
    expect([...tensor(file, 'labels').toInt32()]).toEqual([7, -7]);
    expect([...tensor(file, 'weight').toFloat32()]).toEqual([Math.fround(0.1), -0]);
    expect(file.metadata.get('step')).toBe('3');
  });

  it.each([
    ['F16', 65520],
    ['F16', -1e30],
    ['BF16', 3.3962e38],
    ['BF16', -3.4e38],
    ['F32', 1e39],
    ['F32', -1.7e308],
  ] as const)('refuses to make an infinity of a number: %s, %d', (dtype, value) => {
    const message =
      `tensor "w": expected values that ${dtype} can hold, got ${String(value)} at element 1, which would be ` +
      'infinite. Write it in a dtype with a larger range: F32.';
    const w = { name: 'w', dtype, shape: [3] };
    expect(() => writeSafetensors([{ ...w, data: [1, value, value] }])).toThrow(message);
    if (dtype === 'F32') return;
    const data = Float32Array.of(1, value, value);
    const said = message.replace(String(value), String(data[1]));
    expect(() => safetensorsData({ ...w, data })).toThrow(said);
    const most = dtype === 'F16' ? 65519 : 3.39e38;
    const large = Float32Array.of(Infinity, most, -most);
    const view = tensor(readSafetensors(writeSafetensors([{ ...w, data: large }])), 'w');
    expect(view.toFloat32()[0]).toBe(Infinity);
    expect(Number.isFinite(view.toFloat32()[1])).toBe(true);
  });

  it('writes an empty file', () => {
    const file = readSafetensors(writeSafetensors([]));
    expect(file.tensors.size + file.metadata.size).toBe(0);
  });

  it('reads tensors at unaligned addresses', () => {
    const bytes = writeSafetensors([{ name: 'w', dtype: 'F64', shape: [1], data: [0.1] }]);
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    const view = tensor(readSafetensors(shifted.subarray(3)), 'w');
    expect(view.bytes.byteOffset % 8).toBe(3);
    expect([...view.toFloat64()]).toEqual([0.1]);
  });

  it.each<[string, TensorSource[], string]>([
    [
      'a name twice',
      [
        { name: 'w', dtype: 'U8', shape: [0], data: [] },
        { name: 'w', dtype: 'F32', shape: [0], data: [] },
      ],
      'tensor "w": expected a name of its own, got a name that is taken.',
    ],
    [
      'the reserved name',
      [{ name: '__metadata__', dtype: 'U8', shape: [0], data: [] }],
      'tensor "__metadata__": expected a name of its own, got a name that is taken.',
    ],
    [
      'too few values',
      [{ name: 'w', dtype: 'F32', shape: [2, 2], data: [1, 2, 3] }],
      'tensor "w": expected 4 elements for [2, 2], got 3.',
    ],
    [
      'a fractional shape',
      [{ name: 'w', dtype: 'F32', shape: [1.5], data: [1] }],
      'tensor "w": expected a shape of integers from 0, got [1.5].',
    ],
    [
      'a fraction as integer',
      [{ name: 'w', dtype: 'I64', shape: [2], data: [1, 1.5] }],
      'tensor "w": expected integers from -9007199254740991 to 9007199254740991 for I64, got 1.5',
    ],
    [
      'an integer out of range',
      [{ name: 'w', dtype: 'U8', shape: [1], data: [256] }],
      'tensor "w": expected integers from 0 to 255 for U8, got 256 at element 0.',
    ],
    [
      'a lone surrogate',
      [{ name: '\ud800', dtype: 'U8', shape: [0], data: [] }],
      'safetensors header: expected names and metadata that are Unicode text, got a lone surrogate',
    ],
  ])('refuses %s', (_, sources, message) => {
    expect(() => writeSafetensors(sources)).toThrow(message);
    expect(() => writeSafetensors(sources)).toThrow(FormatError);
  });
});

describe('a corrupt file', () => {
  const F32 = (shape: string, begin: number | string, end: number | string) =>
    entry('F32', shape, begin, end);
  const deep = '['.repeat(1_000_000);

  it.each<[string, Uint8Array, string]>([
    [
      'no bytes',
      new Uint8Array(0),
      'safetensors length field: expected at least 8 bytes, got 0 bytes.',
    ],
    [
      'seven bytes',
      new Uint8Array(7),
      'safetensors length field: expected at least 8 bytes, got 7 bytes.',
    ],
    [
      'a header beyond the file',
      forge('{}', 0, 3n),
      'safetensors length field: expected a header inside the file of 10 bytes, got a header of 3',
    ],
    [
      'a header of 10 GB',
      forge('{}', 0, 10_000_000_000n),
      'safetensors length field: expected a header of at most 100000000 bytes, got 10000000000.',
    ],
    [
      'a header of 2^64 - 1 bytes',
      forge('{}', 0, 2n ** 64n - 1n),
      'expected a header of at most 100000000 bytes, got 18446744073709552000.',
    ],
    [
      'invalid UTF-8',
      forge(new Uint8Array([0x7b, 0xff, 0x7d])),
      'safetensors header: expected UTF-8 text, got bytes that are not UTF-8.',
    ],
    ['an empty header', forge(''), 'safetensors header: expected a JSON object, got nothing.'],
    [
      'an array as header',
      forge('[]'),
      'safetensors header: expected a JSON object, got text that starts with "[".',
    ],
    [
      'invalid JSON',
      forge('{"w":}'),
      'safetensors header: expected valid JSON, got text that does not parse.',
    ],
    [
      'an unterminated name',
      forge(`{"${'\\"'.repeat(100_000)}`),
      'safetensors header: expected valid JSON, got text that does not parse.',
    ],
    [
      'a name that is not Unicode',
      forge('{"\\ud800":{}}'),
      'safetensors header: expected valid JSON, got text that does not parse.',
    ],
    [
      'deep nesting',
      forge(`{"w":${deep}`),
      'safetensors header: expected nesting of at most 3 levels, got deeper nesting.',
    ],
    [
      'a tensor name twice',
      forge(`{"w":${F32('[1]', 0, 4)},"\\u0077":${F32('[1]', 0, 4)}}`, 4),
      'safetensors header: expected every name once, got "w" twice.',
    ],
    [
      'a field twice',
      forge('{"w":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}', 4),
      'safetensors header: expected every name once, got "shape" twice.',
    ],
    [
      'metadata that are a list',
      forge('{"__metadata__":[]}'),
      'safetensors header: expected __metadata__ to be an object, got [].',
    ],
    [
      'metadata that are not strings',
      forge('{"__metadata__":{"step":3}}'),
      'safetensors header: expected strings in __metadata__, got 3 under "step".',
    ],
    [
      'a metadata key twice',
      forge('{"__metadata__":{"a":"1","\\u0061":"2"}}'),
      'safetensors header: expected every name once, got "a" twice.',
    ],
    [
      'metadata twice',
      forge('{"__metadata__":{},"__metadata__":{}}'),
      'safetensors header: expected every name once, got "__metadata__" twice.',
    ],
    [
      'metadata that are not Unicode',
      forge('{"__metadata__":{"a":"\\udc00"}}'),
      'safetensors header: expected Unicode text in __metadata__, got a lone surrogate.',
    ],
    [
      'metadata without end',
      forge(`{"__metadata__":{"a":"${'x'.repeat(16_000_000)}"}}`),
      'expected at most 16000000 characters in __metadata__, got 16000001 characters.',
    ],
    [
      'text behind the header',
      forge('{} x'),
      'safetensors header: expected valid JSON, got text that does not parse.',
    ],
    [
      'a comma at the end',
      forge(`{"w":${F32('[1]', 0, 4)},}`, 4),
      'safetensors header: expected valid JSON, got text that does not parse.',
    ],
    [
      'brackets that do not match',
      forge('{"w":{"shape":[}]}'),
      'safetensors header: expected valid JSON, got text that does not parse.',
    ],
    [
      'a name without end',
      forge(`{"${'w'.repeat(1001)}":${F32('[1]', 0, 4)}}`, 4),
      'expected a name of at most 1000 characters, got 1001.',
    ],
    [
      'a shape without end',
      forge(`{"w":${F32(`[${'1,'.repeat(64)}1]`, 0, 4)}}`, 4),
      'tensor "w": expected at most 64 dimensions, got 65.',
    ],
    [
      'a number as tensor',
      forge('{"w":3}'),
      'tensor "w": expected an object with dtype, shape and data_offsets, got 3.',
    ],
    [
      'a missing shape',
      forge('{"w":{"dtype":"F32","data_offsets":[0,4]}}', 4),
      'tensor "w": expected a shape of integers, got nothing.',
    ],
    [
      'an unknown field',
      forge('{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"stride":[1]}}', 4),
      'tensor "w": expected only dtype, shape and data_offsets, got "stride".',
    ],
    [
      'an unknown dtype',
      forge(`{"w":${entry('F8_E4M3', '[1]', 0, 1)}}`, 1),
      'tensor "w": expected a dtype among I64 F64 F32 I32 BF16 F16 I16 I8 U8 BOOL, got "F8_E4M3".',
    ],
    [
      'a dtype that every object has',
      forge(`{"w":${entry('constructor', '[1]', 0, 1)}}`, 1),
      'tensor "w": expected a dtype among',
    ],
    [
      'a negative size',
      forge(`{"w":${F32('[-1]', 0, 4)}}`, 4),
      'tensor "w": expected a shape of integers from 0 with a product below 2^53, got [-1].',
    ],
    [
      'a fractional size',
      forge(`{"w":${F32('[0.5]', 0, 2)}}`, 2),
      'tensor "w": expected a shape of integers from 0 with a product below 2^53, got [0.5].',
    ],
    [
      'a shape whose product overflows',
      forge(`{"w":${F32('[4294967296,4294967296]', 0, 0)}}`),
      'expected a shape of integers from 0 with a product below 2^53, got [4294967296,4294967296].',
    ],
    [
      'a string in the shape',
      forge(`{"w":${F32('["1"]', 0, 4)}}`, 4),
      'tensor "w": expected a shape of integers, got ["1"].',
    ],
    [
      'negative offsets',
      forge(`{"w":${F32('[1]', -4, 0)}}`),
      'tensor "w": expected data_offsets of two integers from 0, got [-4,0].',
    ],
    [
      'descending offsets',
      forge(`{"w":${F32('[0]', 4, 0)}}`, 4),
      'tensor "w": expected data_offsets in ascending order, got [4,0].',
    ],
    [
      'offsets beyond 2^53',
      forge(`{"w":${F32('[1]', 0, '1e300')}}`, 4),
      'tensor "w": expected data_offsets of two integers from 0, got [0,1e+300].',
    ],
    [
      'fewer bytes than the shape needs',
      forge(`{"w":${F32('[2,3]', 0, 20)}}`, 20),
      'tensor "w": expected 24 bytes for F32 [2,3], got 20 bytes.',
    ],
    [
      'overlapping tensors',
      forge(`{"a":${F32('[2]', 0, 8)},"b":${F32('[2]', 4, 12)}}`, 12),
      'tensor "b": expected data from byte 124 of the file on, where the tensor before it ends, ' +
        'got an overlap from byte 120 on.',
    ],
    [
      'a hole before the first tensor',
      forge(`{"a":${F32('[1]', 4, 8)}}`, 8),
      'got a hole up to byte 66.',
    ],
    [
      'a hole between tensors',
      forge(`{"a":${F32('[1]', 0, 4)},"b":${F32('[1]', 8, 12)}}`, 12),
      'tensor "b": expected data from byte 120 of the file on, where the tensor before it ends, ' +
        'got a hole up to byte 124.',
    ],
    [
      'truncated data',
      forge(`{"w":${F32('[2]', 0, 8)}}`, 7),
      'tensor "w": expected data up to byte 70 of the file, got a file of 69 bytes. ' +
        'The file is cut short; download or copy it again.',
    ],
    [
      'a tensor of 10 GB',
      forge(`{"w":${F32('[2500000000]', 0, 10_000_000_000)}}`, 8),
      'tensor "w": expected data up to byte 10000000081 of the file, got a file of 89 bytes.',
    ],
    [
      'trailing bytes',
      forge(`{"w":${F32('[1]', 0, 4)}}`, 5),
      'safetensors data: expected the file to end with its last tensor at byte 66, got 1 more',
    ],
  ])('with %s is refused', (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(message);
    expect(() => readSafetensors(bytes)).toThrow(FormatError);
  });

  it('takes names that mean something to JavaScript', () => {
    const bytes = forge(`{"__proto__":${F32('[1]', 4, 8)},"0":${F32('[1]', 0, 4)}}`, 8);
    expect([...readSafetensors(bytes).tensors.keys()]).toEqual(['0', '__proto__']);
  });

  it('never fails in another way, whatever is damaged', () => {
    const valid = new Uint8Array(fixture('safetensors.safetensors'));
    const random = xorshift(20);
    const structural = new TextEncoder().encode('{}[]",:\\0123456789-eE."F32');
    let accepted = 0;
    for (let round = 0; round < 4000; round++) {
      let bytes = valid.slice();
      for (let edit = 0; edit <= random(4); edit++) {
        const place = random(bytes.length);
        const kind = random(4);
        if (kind === 0) bytes[place] = random(256);
        else if (kind === 1) bytes[random(700)] = structural[random(structural.length)] ?? 0;
        else if (kind === 2) bytes = bytes.slice(0, place);
        else bytes.copyWithin(place, random(bytes.length), random(bytes.length));
        if (bytes.length === 0) bytes = new Uint8Array(1);
      }
      if (survives(bytes)) accepted++;
    }
    expect(accepted).toBeGreaterThan(100); // damage in the data alone leaves a valid file
  });
});

/** Reads and converts everything: false on FormatError; any other error is thrown. */
function survives(bytes: Uint8Array): boolean {
  try {
    let decodedBytes = 0;
    for (const view of readSafetensors(bytes).tensors.values()) {
      const isFloat = view.dtype.includes('F');
      const values = isFloat ? view.toFloat32() : view.dtype === 'I64' ? [] : view.toInt32();
      decodedBytes += values.length * 4;
    }
    expect(decodedBytes).toBeLessThanOrEqual(4 * bytes.length); // one byte becomes four at most
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
}

/** A fixed sequence of integers below the bound. */
function xorshift(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

describe.skipIf(!existsSync(shared))('files of the sibling folder shared', () => {
  const parameters = (path: string): number => {
    const file = readSafetensors(readFileSync(`${shared}/${path}`));
    return [...file.tensors.values()].reduce((sum, view) => sum + view.length, 0);
  };

  it.each([
    ['data/weights/vit_tiny_patch16_224.safetensors', 5_717_416],
    ['data/weights/deit_tiny_patch16_224.safetensors', 5_717_416],
  ])('%s has all its parameters', (path, count) => {
    expect(parameters(path)).toBe(count);
  });

  it.each([
    'data/weights/mbv2-w0.35.safetensors',
    'data/weights/mcunet-5fps.safetensors',
    'data/weights/mobilenet_v2_1.0_224.fp16.safetensors',
    'data/weights/proxyless-w0.3.safetensors',
    'golden/wasi-linear.safetensors',
    'golden/wasi-linear-fullrank.safetensors',
  ])('%s is valid', (path) => {
    expect(parameters(path)).toBeGreaterThan(0);
  });

  it('golden/vit-32x8-d48.safetensors has its configuration and finite numbers', () => {
    const file = readSafetensors(readFileSync(`${shared}/golden/vit-32x8-d48.safetensors`));
    expect(file.metadata.get('layernorm_eps')).toBe('1e-06');
    expect(tensor(file, 'labels').toInt32()).toHaveLength(4);
    expect(tensor(file, 'input').shape).toEqual([4, 3, 32, 32]);
    expect(tensor(file, 'input').toFloat32().every(Number.isFinite)).toBe(true);
  });
});

it('looks at aligned F32 without a copy, and copies what is not aligned', () => {
  const info = { name: 'x', dtype: 'F32', shape: [2], begin: 0, end: 8 } as const;
  const memory = new ArrayBuffer(12);
  const aligned = new TensorView(info, new Uint8Array(memory, 4, 8));
  const shifted = new TensorView(info, new Uint8Array(memory, 1, 8));
  const floats = aligned.asFloat32();
  expect(floats.buffer).toBe(memory);
  floats.set([1.5, -2]);
  expect([...aligned.toFloat32()]).toEqual([1.5, -2]);
  expect(shifted.asFloat32().buffer).not.toBe(memory);
  expect(shifted.asFloat32()).toEqual(shifted.toFloat32());
  const bytes = safetensorsData({ name: 'x', dtype: 'F32', shape: [2], data: floats });
  expect(bytes.buffer).toBe(memory);
  const plain = safetensorsData({ name: 'x', dtype: 'F32', shape: [2], data: [1.5, -2] });
  expect([...bytes]).toEqual([...plain]);
});
