/** Files of weights, damaged as bytes and in the JSON of their header. */
import { readSafetensors, writeSafetensors, type Random, type TensorView } from '@thimble/core';
import type { Target } from '../campaign.js';
import { damagedBytes, damagedJson, pick } from '../mutate.js';

const FILES: readonly Uint8Array[] = [
  writeSafetensors(
    [
      { name: 'a', dtype: 'F32', shape: [2, 3], data: [1, 2, 3, 4, 5, 6] },
      { name: 'b', dtype: 'F16', shape: [3], data: [1, 2, 3] },
      { name: 'c.weight', dtype: 'I64', shape: [], data: [5] },
      { name: 'e', dtype: 'F32', shape: [0, 4], data: [] },
      { name: 'd', dtype: 'BOOL', shape: [5], data: [0, 1, 1, 0, 1] },
    ],
    new Map([['format', 'pt']]),
  ),
  writeSafetensors([
    { name: 'x', dtype: 'BF16', shape: [2, 2], data: [1, 2, 3, 4] },
    { name: 'y', dtype: 'U8', shape: [7], data: [1, 2, 3, 4, 5, 6, 7] },
    { name: '__proto__', dtype: 'F64', shape: [1], data: [3] },
  ]),
  writeSafetensors([], new Map([['a', 'b']])),
];

export const safetensors: Target = {
  name: 'safetensors',
  make: (random) => {
    const file = pick(random, FILES);
    return random.below(2) === 0 ? damagedBytes(random, file) : withDamagedHeader(random, file);
  },
  check: (input) => {
    const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
    for (const tensor of readSafetensors(bytes).tensors.values()) {
      const fault = faultOf(tensor, bytes);
      if (fault !== null) return fault;
    }
    return null;
  },
};

function withDamagedHeader(random: Random, file: Uint8Array): Uint8Array {
  const length = new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  const json: unknown = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  const header = new TextEncoder().encode(damagedJson(random, json));
  const result = new Uint8Array(8 + header.length + file.length - 8 - length);
  const said = random.below(15) === 0 ? header.length + random.below(5) - 2 : header.length;
  new DataView(result.buffer).setBigUint64(0, BigInt(Math.max(0, said)), true);
  result.set(header, 8);
  result.set(file.subarray(8 + length), 8 + header.length);
  return result;
}

const FLOATS: readonly string[] = ['F32', 'F64', 'F16', 'BF16'];

/** What is wrong with a tensor that passed. */
function faultOf(tensor: TensorView, file: Uint8Array): string | null {
  const { dtype, shape, bytes } = tensor;
  const values = FLOATS.includes(dtype) ? tensor.toFloat32() : tensor.toInt32();
  const count = shape.reduce((product, extent) => product * extent, 1);
  if (values.length !== count) return 'a tensor with another number of values than its shape says';
  const isInside = bytes.byteOffset + bytes.length <= file.byteOffset + file.length;
  return isInside ? null : 'a tensor beyond the end of the file';
}
