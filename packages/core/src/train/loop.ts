/**
 * The training loop: batches in, events out. The only part that knows what an epoch is for.
 *
 * The session says what a step is (session.ts). A loss that is not a number, or far above that of guessing,
 * stops the run before anything is saved from it (`divergence.ts`). The loop keeps no state of its own: a
 * session that was restored goes on behind the batch that it has seen last.
 */
import { NumericError } from '../errors.js';
import type { Executor } from '../executors/executor.js';
import { Waiting, type Batches } from './batch.js';
import { DivergenceCheck, lossNotFinite } from './divergence.js';
import { evaluate, type Evaluation } from './evaluate.js';
import type { Schedule } from './schedule.js';
import { Session, type SessionOptions } from './session.js';
import { median } from './statistics.js';

/** A loaded executor with its optimiser, or a session of them. */
export type TrainOptions = LoopOptions & (SessionOptions | { readonly session: Session });

interface LoopOptions {
  readonly schedule: Schedule;
  /** Of the whole run, those included that a restored session has done. */
  readonly epochs: number;
  /**
   * Batches of one epoch, each of the program's batch size, from number `from` on: above 0 where a session goes on
   * within an epoch.
   */
  readonly batches: (epoch: number, from: number) => Batches;
  /** Evaluated after every epoch where given. */
  readonly validation?: () => Batches;
  /** Awaited: a slow listener (saving a checkpoint) holds the loop. */
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  /**
   * Ends the run after the current batch, of training or validation; an epoch that it cuts is not reported. The
   * session can go on from there.
   */
  readonly signal?: AbortSignal;
}

/** What happens while a model trains. */
export type TrainEvent = StepEvent | EpochEvent;

/** An update was done. */
export interface StepEvent {
  readonly event: 'step';
  /** From 1. */
  readonly epoch: number;
  /** Updates done so far, in the whole run. */
  readonly step: number;
  readonly loss: number;
  readonly learningRate: number;
  /** Time of writing the batch, running and reading the loss. */
  readonly ms: number;
  /** Time before it in which there was nothing to run: its images were not ready. */
  readonly waitMs: number;
}

/** An epoch is complete, and evaluated where there is a validation set. */
export interface EpochEvent {
  readonly event: 'epoch';
  readonly epoch: number;
  readonly step: number;
  /** Mean training loss of the epoch. */
  readonly loss: number;
  readonly validation: Evaluation | null;
  readonly seconds: number;
  /** Of these, waiting for images, of training and of validation. */
  readonly waitSeconds: number;
}

/** What came of training. */
export interface TrainResult {
  readonly steps: number;
  /** Mean training loss of the last epoch. */
  readonly loss: number;
  readonly validation: Evaluation | null;
  /** Median over all steps but the first. */
  readonly msPerStep: number;
  /** Waiting for images, in all. */
  readonly waitSeconds: number;
  readonly aborted: boolean;
}

/**
 * Trains for `epochs` epochs. Throws TrainingError when the loss is NaN or infinite, and before an epoch is
 * reported whose loss says that the run has diverged (`divergence.ts`); ConfigError for another optimiser than
 * the program's or a rate that is none, DataError for a batch that is not full or a label that is no class.
 *
 * @example
 * const result = await train({
 *   executor, optimizer, schedule: cosine({ peak: 0.01, steps: 100 }), epochs: 5,
 *   batches: (epoch) => loader.epoch(epoch),
 *   onEvent: (event) => console.log(event),
 * });
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { epochs, validation, onEvent, signal } = options;
  const session = 'session' in options ? options.session : Session.of(options);
  const divergence = new DivergenceCheck(session.executor.program, () => {
    return session.progress.firstLoss;
  });
  const times: number[] = [];
  const waiting = new Waiting();
  let loss = NaN;
  let evaluation: Evaluation | null = null;
  for (let epoch = nextEpoch(session); epoch <= epochs && !aborted(signal); epoch++) {
    await session.beginEpoch(epoch);
    const started = performance.now();
    const before = waiting.ms;
    let waited = before;
    for await (const batch of waiting.of(options.batches(epoch - 1, session.progress.passes))) {
      const learningRate = options.schedule(session.step);
      const update = await session.add(batch, learningRate);
      if (update) {
        times.push(update.ms);
        const { step } = session;
        const waitMs = waiting.ms - waited;
        waited = waiting.ms;
        await onEvent?.({ event: 'step', epoch, step, learningRate, ...update, waitMs });
      }
      if (aborted(signal)) break;
    }
    const { losses } = session.progress;
    loss = mean(losses);
    divergence.training(losses, `epoch ${String(epoch)}`);
    if (aborted(signal)) break;
    const { step, executor } = session;
    const where = `validation after step ${String(step)}, epoch ${String(epoch)}`;
    const batches = validation && waiting.of(validation());
    const measured = batches ? await validated(executor, batches, where, signal) : null;
    if (aborted(signal)) break;
    if (measured && measured.images > 0) divergence.validation(measured.loss, where);
    evaluation = measured;
    session.endEpoch();
    const seconds = (performance.now() - started) / 1000;
    const waitSeconds = (waiting.ms - before) / 1000;
    const ended = { validation: evaluation, seconds, waitSeconds };
    await onEvent?.({ event: 'epoch', epoch, step, loss, ...ended });
  }
  if (!aborted(signal)) session.dropRest();
  const msPerStep = median(times.length > 1 ? times.slice(1) : times);
  const result = { steps: session.step, loss, validation: evaluation, msPerStep };
  return { ...result, waitSeconds: waiting.ms / 1000, aborted: aborted(signal) };
}

/** Logits that are no numbers say the same of a run as a loss that is none. */
async function validated(
  executor: Executor,
  batches: Batches,
  where: string,
  signal: AbortSignal | undefined,
): Promise<Evaluation> {
  try {
    return await evaluate(executor, batches, signal);
  } catch (error) {
    if (!(error instanceof NumericError)) throw error;
    throw lossNotFinite(`a logit of ${error.parts.got}`, where);
  }
}

/** The one that is at hand, or the first one that has not begun. */
function nextEpoch({ progress: { epoch, isEpochDone } }: Session): number {
  return isEpochDone ? epoch + 1 : epoch;
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
