/**
 * SHA256SUMS of a run folder: the SHA-256 of its record and of all files that the record knows, as `sha256sum -c`
 * reads it. The record has the hashes of the others; this file has that of the record. Of runs from before it there
 * is nothing to compare.
 */
import { FormatError } from '@thimble/core';
import { existsSync } from 'node:fs';
import { readText, writeTextAnew } from '../host/files.js';
import { sha256Of } from '../weights/hashes.js';
import { RUN_FILES, runFile } from './saves.js';

/** A line for each file: the hash, two blanks and the name. */
const LINE = /^([0-9a-f]{64}) [ *](\S+)$/;

/** Writes the sums into a save. @param record the file of the record, as it was written */
export async function writeSums(
  path: string,
  record: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const all = { ...files, [RUN_FILES.record]: sha256Of(record) };
  // By name, so that a run that is as it was before has the same file again.
  const sorted = Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = sorted.map(([name, hash]) => `${hash}  ${name}\n`);
  await writeTextAnew(path, lines.join(''));
}

/** Throws FormatError where the record of the run in `folder` is not the one that was saved. */
export function checkRecord(folder: string): void {
  // A save may take its place between two looks: then both are others at the second one.
  if (changed(folder) === null) return;
  const found = changed(folder);
  if (found === null) return;
  throw new FormatError({
    where: runFile(folder, RUN_FILES.record),
    expected: `the file with the SHA-256 ${found.expected}, as ${RUN_FILES.sums} says`,
    got: `one with ${found.got}`,
    todo: `It was damaged or changed: bring it back; where the change is meant, remove ${RUN_FILES.sums}`,
  });
}

/** null where it is the one, or nobody says. */
function changed(folder: string): { readonly expected: string; readonly got: string } | null {
  const path = runFile(folder, RUN_FILES.sums);
  if (!existsSync(path)) return null;
  const expected = parseSums(path, readText(path, 'the sums of a run')).get(RUN_FILES.record);
  const got = sha256Of(runFile(folder, RUN_FILES.record));
  if (expected === undefined) throw notSums(path, `no line for ${RUN_FILES.record}`);
  return expected === got ? null : { expected, got };
}

/** Hashes by name. Throws FormatError. @param file what errors call it */
export function parseSums(file: string, text: string): ReadonlyMap<string, string> {
  const lines = text.split('\n').filter((line) => line !== '');
  return new Map(
    lines.map((line, index) => {
      const [, hash, name] = LINE.exec(line) ?? [];
      if (hash === undefined) throw notSums(file, `another line ${String(index + 1)}`);
      return [name, hash] as const;
    }),
  );
}

function notSums(where: string, got: string): FormatError {
  return new FormatError({
    where,
    expected: 'a SHA-256 and a name in each line, run.json among them',
    got,
    todo: 'Use the file as thimble train wrote it, or remove it',
  });
}
