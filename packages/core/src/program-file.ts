/**
 * Programs as files: UTF-8 JSON with a version. What is read is checked before anything may run it: each
 * value by the readers here, and all of them together by `programFault`.
 */
import { base64Length, fromBase64, toBase64 } from './base64.js';
import { FormatError } from './errors.js';
import { bytesIn, contentsFault, hostArray, type HostArray } from './ir/host.js';
import { programFault } from './program-check/index.js';
import { bytesOf, typeText, type TensorType } from './ir/types.js';
import type { Cue, Program, Slot, Training } from './program.js';
import {
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  read,
  record,
  text,
  whole,
  type JsonDocument,
  type Place,
  type Reader,
} from './schema/index.js';

const MAGIC = 'thimble-program';
/**
 * 2: with what the program was compiled for; 3: with buffers, tables, what each state is of, cues of entries
 * and rates of groups.
 */
const FORMAT_VERSION = 3;

const DOCUMENT: JsonDocument = {
  file: 'program file',
  error: FormatError,
  todo: 'Compile the program again with this version of Thimble',
};

/** Bounds: a model of a thousand blocks has less; a table is counted in characters. */
const MOST = {
  slots: 1_000_000,
  entries: 1000,
  steps: 200_000,
  operands: 32,
  rank: 8,
  table: 2 ** 29,
} as const;

const bytes = whole({ least: 0, most: Number.MAX_SAFE_INTEGER });
const index = whole({ least: 0, most: MOST.slots });
const stepNumber = whole({ least: 0, most: MOST.steps });
const count = whole({ most: 2 ** 31 - 1 });
const name = text({ most: 1000 });
const operands = record(index, { most: MOST.operands });

const param: Reader<number | boolean | string> = (value, place) => {
  if (typeof value === 'boolean') return value;
  return typeof value === 'string' ? name(value, place) : number()(value, place);
};
const params = record(param, { most: MOST.operands });

const fields = object({
  name,
  type: object({
    dtype: oneOf('f32', 'i32', 'i8'),
    shape: list(whole({ most: 2 ** 31 - 1 }), { most: MOST.rank }),
  }),
  role: oneOf(
    ...(['parameter', 'buffer', 'state', 'constant', 'table', 'input', 'output'] as const),
    ...(['saved', 'gradient', 'temporary', 'workspace'] as const),
  ),
  offset: bytes,
  bytes,
  entry: nullable(name),
  first: stepNumber,
  last: stepNumber,
  root: index,
  fill: optional(number()),
  data: optional(text({ most: MOST.table })),
  of: optional(oneOf('optimizer', 'gradient', 'activation')),
});

const slot: Reader<Slot> = (value, place) => {
  const { data, ...rest } = fields(value, place);
  return data === undefined ? rest : { ...rest, data: table(rest.type, data, place.at('data')) };
};

/** The contents of a table: the bytes of its elements, little-endian as every machine here has them. */
function table(type: TensorType, base64: string, place: Place): HostArray {
  const length = base64Length(bytesOf(type));
  const expected = `${String(length)} characters of base64 for ${typeText(type)}`;
  if (base64.length !== length) throw place.error(expected, String(base64.length));
  const bytes = fromBase64(base64);
  if (!bytes || bytes.byteLength !== bytesOf(type)) throw place.error(expected, 'other text');
  const data = hostArray(type, bytes.buffer);
  const fault = contentsFault(type, data);
  if (fault !== null) throw place.error('finite numbers', fault);
  return data;
}

const step = object({
  name,
  op: name,
  params,
  inputs: operands,
  outputs: operands,
  workspace: nullable(index),
});

const entry = object({
  name,
  steps: list(step, { most: MOST.steps }),
  inputs: operands,
  outputs: operands,
});

const cue: Reader<Cue> = (value, place) => {
  const { at } = object({ at: oneOf('start', 'steps', 'epoch') })(value, place);
  return at === 'steps' ? { at, ...object({ every: count })(value, place) } : { at };
};

const trainingFields = object({
  method: name,
  saved: name,
  batch: whole({ most: 2 ** 31 - 1 }),
  microBatches: whole({ most: 2 ** 31 - 1 }),
  slices: optional(whole({ most: 2 ** 31 - 1 })),
  optimizer: object({ name, settings: params }),
  clipNorm: nullable(number({ above: 0 })),
  cues: record(cue, { most: MOST.entries }),
  rates: record(number({ above: 0 }), { most: MOST.entries }),
});

/** Programs from before there were slices do not name them. */
const training: Reader<Training> = (value, place) => {
  const fields = trainingFields(value, place);
  return { ...fields, slices: fields.slices ?? 1 };
};

const header = object({ format: oneOf(MAGIC), version: oneOf(FORMAT_VERSION) });

const program: Reader<Program> = object({
  slots: list(slot, { most: MOST.slots }),
  entries: list(entry, { most: MOST.entries }),
  training: nullable(training),
  persistentBytes: bytes,
  arenaBytes: bytes,
  scratchBytes: bytes,
});

/** A program as bytes (UTF-8 JSON with a version); `parseProgram` reads it back. */
export function serializeProgram(made: Program): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify({
      ...{ format: MAGIC, version: FORMAT_VERSION },
      ...{ ...made, slots: made.slots.map(written) },
    }),
  );
}

function written({ data, ...slot }: Slot): object {
  return data ? { ...slot, data: toBase64(bytesIn(data)) } : slot;
}

/**
 * Reads `serializeProgram`'s bytes. Throws FormatError, also for a program that says anything about its
 * memory that does not follow from its steps.
 */
export function parseProgram(file: Uint8Array): Program {
  const json = decoded(file);
  const found = read(
    json,
    (value, place) => {
      header(value, place);
      return program(value, place);
    },
    DOCUMENT,
  );
  const fault = programFault(found);
  if (fault !== null) throw notAProgram(fault);
  return found;
}

function decoded(file: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(file);
  } catch {
    throw notAProgram('bytes that are no UTF-8 text');
  }
}

function notAProgram(got: string): FormatError {
  const { file: where, todo } = DOCUMENT;
  const expected = `a ${MAGIC} of version ${String(FORMAT_VERSION)}`;
  return new FormatError({ where, expected, got, todo });
}
