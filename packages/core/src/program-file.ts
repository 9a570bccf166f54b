/**
 * Programs as files: UTF-8 JSON with a version. What is read is checked before anything may run it.
 */
import { FormatError } from './errors.js';
import { programFault } from './program-check/index.js';
import type { Program } from './program.js';

const FORMAT_VERSION = 1;
const MAGIC = 'thimble-program';

/** A program as bytes (UTF-8 JSON with a version); `parseProgram` reads it back. */
export function serializeProgram(program: Program): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify({ format: MAGIC, version: FORMAT_VERSION, ...program }),
  );
}

/**
 * Reads `serializeProgram`'s bytes. Throws FormatError, also for a program that is unsafe to run.
 */
export function parseProgram(bytes: Uint8Array): Program {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw notAProgram(error instanceof Error ? error.message : 'unreadable bytes');
  }
  if (!isProgramFile(parsed)) throw notAProgram('JSON without the program header');
  if (parsed.version !== FORMAT_VERSION) throw notAProgram(`version ${String(parsed.version)}`);
  const { slots, entries, persistentBytes, arenaBytes, scratchBytes } = parsed;
  const program = { slots, entries, persistentBytes, arenaBytes, scratchBytes };
  const fault = programFault(program);
  if (fault !== null) throw notAProgram(fault);
  return program;
}

type ProgramFile = Program & { readonly format: string; readonly version: number };

function isProgramFile(value: unknown): value is ProgramFile {
  if (typeof value !== 'object' || value === null) return false;
  const file: Partial<Record<keyof ProgramFile, unknown>> = value;
  return (
    file.format === MAGIC &&
    typeof file.version === 'number' &&
    Array.isArray(file.slots) &&
    Array.isArray(file.entries) &&
    [file.persistentBytes, file.arenaBytes, file.scratchBytes].every(
      (count) => Number.isSafeInteger(count) && Number(count) >= 0,
    )
  );
}

function notAProgram(got: string): FormatError {
  return new FormatError({
    where: 'program file',
    expected: `a ${MAGIC} of version ${String(FORMAT_VERSION)}`,
    got,
    todo: 'Compile the program again with this version of Thimble',
  });
}
