/**
 * Words of an entry as the native addon takes them, with some of them changed: refused, or steps of known ops
 * whose operands begin inside of the arena.
 */
import {
  encodeEntry,
  ExecutorError,
  operandName,
  isOptional,
  opcodeOf,
  OPS,
  type Op,
} from '@thimble/core';
import { requireAddon } from '../../packages/native/src/addon.js';
import type { Target } from '../campaign.js';
import { damagedBytes, pick } from '../mutate.js';
import { SINGLE, STEPS } from '../sample-programs.js';

const ALIGNMENT = 64;
const ODD = [0, 1, -1, -2, 2, 63, 64, 65, 2 ** 30, 2 ** 31 - 1, -(2 ** 31)];

const KERNELS: ReadonlyMap<number, Op> = new Map(
  Object.values<Op>(OPS)
    .filter((op) => !op.view)
    .map((op) => [opcodeOf(op.name), op]),
);

export const words: Target = {
  name: 'words',
  make: (random) => {
    const program = pick(random, random.below(4) === 0 ? STEPS : SINGLE);
    const entry = pick(random, program.entries);
    const all = Int32Array.of(program.arenaBytes / ALIGNMENT, ...encodeEntry(program, entry));
    for (let changes = random.below(3); changes > 0; changes--) {
      const at = 1 + random.below(all.length - 1);
      all[at] = random.below(3) === 0 ? all[at] + pick(random, [-1, 1]) : pick(random, ODD);
    }
    const bytes = new Uint8Array(all.buffer);
    return random.below(4) === 0 ? headed(bytes, damagedBytes(random, bytes.subarray(4))) : bytes;
  },
  check: (input) => {
    const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input;
    const all = new Int32Array(bytes.slice(0, bytes.length - (bytes.length % 4)).buffer);
    const [units] = all;
    const engine = new (requireAddon().Engine)(ALIGNMENT * units, 0, 1, 'base');
    try {
      engine.addEntry(all.subarray(1));
      return faultOf(all.subarray(1), units);
    } catch (error) {
      if (error instanceof RangeError) throw refusal(error.message);
      throw error;
    } finally {
      engine.dispose();
    }
  },
};

function headed(bytes: Uint8Array, rest: Uint8Array): Uint8Array {
  const result = new Uint8Array(4 + rest.length);
  result.set(bytes.subarray(0, 4));
  result.set(rest, 4);
  return result;
}

/** What should not have passed. */
function faultOf(entry: Int32Array, units: number): string | null {
  let at = 0;
  while (entry[at] !== 0) {
    const op = KERNELS.get(entry[at]);
    if (!op) return 'an op that is none';
    const declared = [...op.inputs, ...op.outputs, ...(op.workspace ? ['workspace?'] : [])];
    if (entry[at + 1] !== declared.length + Object.keys(op.scalars).length) return 'another length';
    for (const [index, name] of declared.entries()) {
      const place = entry[at + 2 + index];
      const isAbsent = place === -1 && isOptional(name);
      if (!isAbsent && !(place >= 0 && place < units))
        return `${op.name} with ${operandName(name)}`;
    }
    at += 2 + entry[at + 1];
  }
  return at === entry.length - 1 ? null : 'words behind the end';
}

function refusal(got: string): ExecutorError {
  const where = 'addEntry';
  return new ExecutorError({ where, expected: 'words of an entry', got, todo: 'Encode it again' });
}
