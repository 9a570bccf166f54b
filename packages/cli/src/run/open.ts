/**
 * The one way to open a run: its record, its weights and what these say of themselves are read, compared, and only
 * then used. Whatever passes can be built, holds every weight of its model and no others.
 */
import {
  checkpointed,
  CheckpointError,
  FormatError,
  foundRanks,
  matchWeights,
  modelReader,
  preprocessReader,
  schema,
  type BoundMethod,
  type ModelGraph,
} from '@thimble/core';
import { openCheckpoint, type OpenCheckpoint } from '../weights/checkpoint.js';
import { builtForm, storedForm, type Form } from './form.js';
import { checkFile, checkpointPath, readRunRecord } from './folder.js';
import { RUN_FILES, runFile } from './saves.js';
import { differenceOf, formOf, type RunRecord } from './record.js';

export interface OpenRun {
  readonly record: RunRecord;
  /** Of the weights. */
  readonly path: string;
  /** Close it. */
  readonly checkpoint: OpenCheckpoint;
  /** With the run's ranks. */
  readonly method: BoundMethod;
  /** The forward graph that `method` makes, for one image. */
  readonly model: ModelGraph;
  /** What the weights say of their form; null for dense ones. */
  readonly form: Form | null;
}

/**
 * Opens the run in a folder.
 *
 * @param best the weights of the best epoch instead of the last
 * Throws FileError, FormatError and CheckpointError.
 */
export function openRun(folder: string, best: boolean): OpenRun {
  const record = readRunRecord(folder);
  const path = checkpointPath(folder, best);
  const checkpoint = openCheckpoint(path);
  try {
    const run = checkedRun(runFile(folder, RUN_FILES.record), record, checkpoint);
    checkFile(path, best ? RUN_FILES.best : RUN_FILES.model, record);
    return { ...run, path, checkpoint };
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

/** What can be told of a record and weights that belong to each other. @param file of the record, for errors */
export function checkedRun(
  file: string,
  record: RunRecord,
  checkpoint: Pick<OpenCheckpoint, 'name' | 'metadata' | 'shapes' | 'read'>,
): Omit<OpenRun, 'path' | 'checkpoint'> {
  const { config } = record.model;
  const built = builtForm(file, config, formOf(record));
  checkWeights(built.model, checkpoint, record);
  const form = storedForm(checkpoint.name, checkpoint.metadata, config);
  checkAgreement(file, record, checkpoint, form);
  return { record, ...built, form };
}

/** Throws CheckpointError unless the file holds exactly the parameters of the model. */
function checkWeights(
  model: ModelGraph,
  checkpoint: Parameters<typeof checkedRun>[2],
  { seed }: RunRecord,
): void {
  const { report } = matchWeights(model, checkpoint, seed);
  const { replaced, resized, unused, loaded } = report;
  const all = checkpointed(model.graph).length;
  const other = [...replaced, ...resized];
  if (other.length === 0 && unused.length === 0 && loaded === all) return;
  const shape = checkpoint.shapes.get(other[0]);
  const odd = shape ? `${other[0]} of shape [${shape.join(', ')}]` : `no ${other[0]}`;
  const counts = `${String(loaded)} of them, and ${String(unused.length)} others`;
  throw new CheckpointError({
    where: checkpoint.name,
    expected: `the ${String(all)} parameters of the model that its run.json describes`,
    got: other.length > 0 ? odd : counts,
    todo: TODO,
  });
}

/** Throws FormatError where the weights say of themselves what the record does not. */
function checkAgreement(
  file: string,
  record: RunRecord,
  { name, metadata }: Pick<OpenCheckpoint, 'name' | 'metadata'>,
  form: Form | null,
): void {
  const said = <T>(key: string, reader: schema.Reader<T>, what: string, recorded: T) => {
    const text = metadata.get(key);
    if (text === undefined) return; // of a run from before there was such an entry
    const document = { file: `${name}, metadata ${key}`, error: FormatError, todo: TODO };
    agree(what, recorded, schema.read(text, reader, document));
  };
  const agree = (what: string, recorded: unknown, found: unknown) => {
    const difference = differenceOf(what, found, recorded);
    if (!difference) return;
    const [expected, got] = difference.texts;
    const where = `${file}, ${difference.at}`;
    throw new FormatError({ where, expected: `${expected}, as ${name} says`, got, todo: TODO });
  };
  said('thimble.config', modelReader, 'model.config', record.model.config);
  said('classes', CLASSES, 'classes', record.classes);
  said('preprocess', preprocessReader, 'preprocess', record.preprocess);
  if (!form) return;
  const recorded = formOf(record);
  agree('method', recorded.method, form.method);
  agree('ranks', foundRanks(recorded.found), foundRanks(form.found));
  agree('batch / microBatches / slices', recorded.pass, form.pass);
}

const CLASSES = schema.list(schema.text({ most: 1000 }), { most: 1_000_000 });
const TODO = 'Use the folder as thimble train wrote it: weights and record are of one run';
