/**
 * ranks.json of a run folder: the ranks of a factored run and the tables that they were chosen
 * from. For people and scripts; eval, predict and merge read the ranks of run.json.
 */
import {
  FormatError,
  foundRanks,
  methodReader,
  ranksReader,
  schema,
  tablesReader,
  type PrepareTables,
  type Ranks,
} from '@thimble/core';
import { existsSync } from 'node:fs';
import { writeTextAnew } from '../host/files.js';
import { readRunRecord } from './folder.js';
import { RUN_FILES, runFile } from './saves.js';
import type { WrittenForm } from './form.js';
import { differenceOf, formOf, type RunRecord } from './record.js';
import { parseFile } from '../weights/json-file.js';

/** A form with ranks as it is written, and where they come from. */
export interface RanksFile extends Required<WrittenForm> {
  /** null where the ranks are typical ones, or those of the run that this one started from. */
  readonly tables: PrepareTables | null;
}

const FORMAT = 'thimble-ranks';
const VERSION = 1;

/** Writes the ranks into a save. */
export async function writeRanks(path: string, file: RanksFile): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, version: VERSION, ...file }, null, 1);
  await writeTextAnew(path, `${text}\n`);
}

/** Throws FileError and FormatError when the run has none, or one that is damaged or not its own. */
export function readRanks(run: string): RanksFile {
  const path = runFile(run, RUN_FILES.ranks);
  if (!existsSync(path)) {
    const todo = 'Pass the folder of a run with a factored method, such as wasi';
    throw new FormatError({ where: path, expected: 'the ranks of a run', got: 'no file', todo });
  }
  const found = parseFile(path, 'the ranks of a run', (text) => parseRanks(path, text));
  checkOwn(path, found, readRunRecord(run));
  return found;
}

/** The ranks in a text. Throws FormatError. @param file what errors call it */
export function parseRanks(file: string, json: string): RanksFile {
  const document = { file, error: FormatError, todo: TODO };
  schema.read(json, header, document);
  return schema.read(json, ranksFileReader, document);
}

const TODO = 'Use the file as thimble train wrote it';

/** A version of the format that this program reads. */
const header = schema.object({ format: schema.oneOf(FORMAT), version: schema.oneOf(VERSION) });

const ranksFileReader: schema.Reader<RanksFile> = schema.refined(
  schema.objectOf<RanksFile>({
    method: methodReader,
    pass: schema.whole({ most: Number.MAX_SAFE_INTEGER }),
    ranks: ranksReader,
    tables: schema.nullable(tablesReader),
  }),
  checkTables,
);

/** What the tables say was chosen are the ranks. */
function checkTables({ ranks, tables }: RanksFile, place: schema.Place): void {
  const check = (kind: keyof Ranks, weight: string, said: unknown) => {
    const all: Readonly<Record<string, unknown>> = ranks[kind];
    const own = Object.hasOwn(all, weight) ? all[weight] : null;
    const difference = differenceOf(weight, said, own);
    if (!difference) return;
    const [expected, got] = difference.texts;
    throw place.at('ranks').at(kind).at(weight).error(`${expected}, as the tables say`, got);
  };
  for (const { weight, rank } of tables?.weights?.layers ?? []) check('weights', weight, rank);
  for (const { weight, options, chosen } of tables?.activations?.layers ?? []) {
    check('activations', weight, options[chosen].ranks);
  }
}

/** Throws FormatError for ranks that are not those of the run's record. */
function checkOwn(file: string, { method, ranks, pass }: RanksFile, record: RunRecord): void {
  const form = formOf(record);
  const difference =
    differenceOf('method', form.method, method) ??
    differenceOf('pass', form.pass, pass) ??
    differenceOf('ranks', foundRanks(form.found), ranks);
  if (!difference) return;
  const [expected, got] = difference.texts;
  const where = `${file}, ${difference.at}`;
  throw new FormatError({ where, expected: `${expected}, as run.json says`, got, todo: TODO });
}
