/** info and ranks: what is in a file of weights or in a run. */
import { Caller, type Hooks } from '../events/caller.js';
import { readRanks, type RanksFile } from '../run/ranks-file.js';
import { inspect, type Inspection } from '../source/inspect.js';
import type { HubOptions } from '../source/options.js';
import { accessOf } from '../source/start.js';
import type { LoadingEvent } from './work.js';

export interface InfoOptions extends HubOptions {
  /** A file, a folder, a run, or `owner/name` on the hub. */
  readonly what: string;
  /** Of a run: the weights of its best epoch instead of the last; default: off. */
  readonly best?: boolean;
}

/** Whose ranks are read. */
export interface RanksOptions {
  /** The folder of a run with a factored method. */
  readonly run: string;
}

/**
 * What a checkpoint is: its architecture, parameters, classes, preprocessing, ranks, hash. Throws FormatError and
 * FileError for what cannot be read, DownloadError, and the reason of an aborted signal.
 */
export async function info(
  options: InfoOptions,
  hooks: Hooks<LoadingEvent> = {},
): Promise<Inspection> {
  const { what, best = false } = options;
  return inspect(what, accessOf(options, new Caller(hooks), best));
}

/**
 * The ranks of a run with a factored method, and what they were chosen from. Throws FormatError and FileError for a
 * run that has none.
 */
export async function ranks({ run }: RanksOptions): Promise<RanksFile> {
  return readRanks(run);
}
