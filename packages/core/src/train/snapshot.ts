/**
 * Everything that a session is made of, but the programs: how far it has come, and each tensor that lives across
 * steps. The progress is plain data that JSON keeps to the bit; tensors are read and written one at a time, so that
 * a run is saved without a second copy of it in memory.
 */
import { ConfigError } from '../errors.js';
import type { HostData } from '../executors/executor.js';
import type { TensorType } from '../ir/types.js';
import type { Program, Slot } from '../program.js';
import {
  list,
  nullable,
  number,
  objectOf,
  record,
  refined,
  truth,
  whole,
  type Place,
  type Reader,
} from '../schema/index.js';

/** How far a session has come. */
export interface Progress {
  /** The epoch at hand, from 1, or the one that ended last; 0 before the first. */
  readonly epoch: number;
  readonly isEpochDone: boolean;
  /** No update of the epoch at hand has begun: entries with the cue `epoch` are still to run. */
  readonly isNewEpoch: boolean;
  /** Micro-batches of the epoch at hand that were added; 0 where it is done. */
  readonly passes: number;
  /** Updates done. */
  readonly step: number;
  readonly seed: number;
  /** How often each entry on a cue has run. */
  readonly counts: Readonly<Record<string, number>>;
  /** Losses of the updates of the epoch at hand; none where it is done. */
  readonly losses: readonly number[];
  /** Losses of the micro-batches of an update that is still to come. */
  readonly pending: readonly number[];
  /** Loss of the first update of all; null before it. */
  readonly firstLoss: number | null;
}

/** Before anything was trained. */
export function noProgress(seed: number): Progress {
  return {
    ...{ epoch: 0, isEpochDone: true, isNewEpoch: true, passes: 0, step: 0, seed },
    ...{ counts: {}, losses: [], pending: [], firstLoss: null },
  };
}

/** A whole session: what it goes on from, to the same bits. */
export interface Snapshot {
  readonly progress: Progress;
  readonly tensors: readonly SnapshotTensor[];
}

/** A tensor that lives across steps. */
export type SessionTensor = Pick<Slot, 'name' | 'type' | 'role'>;

/** A tensor that lives across steps, with its contents. */
export interface SnapshotTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly data: HostData;
}

/** What lives across steps and is no constant. */
export function sessionTensors({ slots }: Program): readonly SessionTensor[] {
  return slots.filter(
    ({ entry, role }) => entry === null && role !== 'constant' && role !== 'table',
  );
}

/** Throws ConfigError for the progress of another session. @param microBatches of an update */
export function checkProgress(progress: Progress, seed: number, microBatches: number): void {
  const { pending } = progress;
  if (progress.seed !== seed) {
    throw otherSnapshot(`seed ${String(seed)}`, `seed ${String(progress.seed)}`);
  }
  if (pending.length < microBatches) return;
  const most = `less than ${String(microBatches)} micro-batches of an update`;
  throw otherSnapshot(most, String(pending.length));
}

export function otherSnapshot(expected: string, got: string): ConfigError {
  return new ConfigError({
    where: 'session restore',
    expected,
    got,
    todo: 'Restore a snapshot of a session with the same programs and seed',
  });
}

const COUNT = whole({ least: 0, most: Number.MAX_SAFE_INTEGER });
const LOSSES = list(number(), { most: 100_000_000 });

/** Reads a progress that was written as JSON. */
export const progressReader: Reader<Progress> = refined(
  objectOf<Progress>({
    ...{ epoch: COUNT, isEpochDone: truth, isNewEpoch: truth, passes: COUNT, step: COUNT },
    ...{ seed: COUNT, counts: record(COUNT, { most: 1000 }), losses: LOSSES, pending: LOSSES },
    firstLoss: nullable(number()),
  }),
  ({ epoch, isEpochDone, passes }: Progress, place: Place) => {
    if (isEpochDone && passes > 0)
      throw place.at('passes').error('0 after an epoch', String(passes));
    if (!isEpochDone && epoch === 0) throw place.at('epoch').error('1 or more', '0');
  },
);
