/** resume: a run that was interrupted goes on as if it had not been. */
import { Caller, type Hooks, type NoteEvent } from '../events/caller.js';
import { readRunRecord } from '../run/folder.js';
import { isRun } from '../run/saves.js';
import type { RunEvent } from '../training/events.js';
import { nextRun, TrainingFolder } from '../training/folder.js';
import { openSaved, resumedPlan } from '../training/resuming.js';
import { runTraining, type RunOutcome } from '../training/training.js';
import { checkNumbers } from './limits.js';
import {
  cacheFor,
  executorFor,
  threadsFor,
  workersFor,
  type ExecutorOptions,
  type KeepingOptions,
  type WorkerOptions,
} from './work.js';

export interface ResumeOptions extends ExecutorOptions, WorkerOptions, KeepingOptions {
  /** The run folder. */
  readonly run: string;
  /** Of the whole run; default: as before. */
  readonly epochs?: number;
  /** The folder that holds all images of the run, where it has moved. */
  readonly data?: string;
  /** Goes on although images have gone or changed; default: off. */
  readonly force?: boolean;
}

/** The run goes on behind the update that was saved last. */
export interface ResumedEvent {
  readonly event: 'resumed';
  readonly run: string;
  /** Of the update that was saved last. */
  readonly epoch: number;
  readonly step: number;
}

/** All epochs of the run are done already. */
export interface NothingToDo {
  readonly status: 'nothingToDo';
  readonly run: string;
  /** Updates and epochs that were done before. */
  readonly steps: number;
  readonly epochs: number;
  /** Epochs that the run was to have. */
  readonly wanted: number;
}

/** What happens while a run goes on. */
export type ResumingEvent = NoteEvent | ResumedEvent | RunEvent;

/**
 * Goes on with a run behind the update that was saved last, to the weights of a run that was never interrupted: bit
 * for bit on the same executor. Aborts as `train` does.
 *
 * Throws the errors of `train`, and FormatError for a folder that is no run or is damaged.
 */
export async function resume(
  options: ResumeOptions,
  hooks: Hooks<ResumingEvent> = {},
): Promise<RunOutcome | NothingToDo> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const { run } = options;
  const workers = workersFor(options, caller);
  caller.checkSignal();
  if (!isRun(run) && !isRun(nextRun(run))) readRunRecord(run); // says what is there instead
  const folder = TrainingFolder.resume(run);
  try {
    const outcome = await resumed(folder, { ...options, workers }, caller);
    await caller.heard();
    return outcome;
  } finally {
    folder.close();
  }
}

async function resumed(
  folder: TrainingFolder,
  options: ResumeOptions & Required<WorkerOptions>,
  caller: Caller<ResumingEvent>,
): Promise<RunOutcome | NothingToDo> {
  const { run, force = false } = options;
  const saved = openSaved(folder);
  try {
    const { record, state } = saved;
    const { executor = record.executor.name } = options;
    const kind = await executorFor({ executor }, caller);
    const settled = { ...options, force, threads: threadsFor(options), cache: cacheFor(options) };
    const plan = resumedPlan(folder, saved, kind, settled, (about, text) => {
      caller.note(about, text);
    });
    const { epoch, step, isEpochDone } = state.progress;
    const { epochs: wanted } = plan.settings;
    if (record.status === 'done' && isEpochDone && epoch >= wanted) {
      const epochs = record.history.length;
      return { status: 'nothingToDo', run, steps: step, epochs, wanted };
    }
    caller.tell({ event: 'resumed', run, epoch, step });
    return await runTraining(plan, caller);
  } finally {
    saved.close();
  }
}
