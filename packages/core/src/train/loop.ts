/**
 * The training loop: batches in, events out. The only part that knows about epochs.
 *
 * A step is one call of `step`, or `microBatches` calls of `micro` and one of `apply`; a program with the
 * entry `start` runs that first, on the first batch. A loss that is not a
 * number, or far above that of guessing, stops the run before anything is saved from it (`divergence.ts`).
 * The loop keeps no state of its own beyond counters; weights and optimiser state live in the executor.
 */
import type { Executor } from '../executors/executor.js';
import type { Optimizer } from '../optim/optimizer.js';
import { evaluate, type Batch, type Batches, type Evaluation } from './evaluate.js';
import { DivergenceCheck, lossNotFinite } from './divergence.js';
import type { Schedule } from './schedule.js';
import { median } from './statistics.js';

export interface TrainOptions {
  /** Holds a program with the entry `step` (or `micro` and `apply`), weights written. */
  readonly executor: Executor;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly epochs: number;
  /** Batches of one epoch, each of the program's batch size. */
  readonly batches: (epoch: number) => Batches;
  /** Passes per update; must be what the program was compiled with. Default 1. */
  readonly microBatches?: number;
  /** Evaluated after every epoch where given. */
  readonly validation?: () => Batches;
  /** Awaited: a slow listener (saving a checkpoint) holds the loop. */
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  /** Ends the run after the current step, or batch of validation; an epoch that it cuts is not reported. */
  readonly signal?: AbortSignal;
}

export type TrainEvent = StepEvent | EpochEvent;

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
}

export interface EpochEvent {
  readonly event: 'epoch';
  readonly epoch: number;
  readonly step: number;
  /** Mean training loss of the epoch. */
  readonly loss: number;
  readonly validation: Evaluation | null;
  readonly seconds: number;
}

export interface TrainResult {
  readonly steps: number;
  /** Mean training loss of the last epoch. */
  readonly loss: number;
  readonly validation: Evaluation | null;
  /** Median over all steps but the first. */
  readonly msPerStep: number;
  readonly aborted: boolean;
}

/**
 * Trains for `epochs` epochs. Throws TrainingError when the loss is NaN or infinite, and before an epoch is
 * reported whose loss says that the run has diverged (`divergence.ts`).
 *
 * @example
 * const result = await train({
 *   executor, optimizer, schedule: cosine({ peak: 0.01, steps: 100 }), epochs: 5,
 *   batches: (epoch) => loader.epoch(epoch),
 *   onEvent: (event) => console.log(event),
 * });
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { executor, epochs, validation, onEvent, signal } = options;
  const stepper = new Stepper(options);
  const divergence = new DivergenceCheck(executor.program);
  let loss = NaN;
  let evaluation: Evaluation | null = null;
  for (let epoch = 1; epoch <= epochs && !aborted(signal); epoch++) {
    const started = performance.now();
    const losses: number[] = [];
    for await (const batch of options.batches(epoch - 1)) {
      const event = await stepper.add(batch, epoch);
      if (!event) continue;
      losses.push(event.loss);
      await onEvent?.(event);
      if (aborted(signal)) break;
    }
    loss = mean(losses);
    divergence.training(losses, `epoch ${String(epoch)}`);
    if (aborted(signal)) break;
    const measured = validation ? await evaluate(executor, validation(), signal) : null;
    if (aborted(signal)) break;
    const { step } = stepper;
    if (measured && measured.images > 0) {
      const where = `validation after step ${String(step)}, epoch ${String(epoch)}`;
      divergence.validation(measured.loss, where);
    }
    evaluation = measured;
    const seconds = (performance.now() - started) / 1000;
    await onEvent?.({ event: 'epoch', epoch, step, loss, validation: evaluation, seconds });
  }
  const msPerStep = median(stepper.times.length > 1 ? stepper.times.slice(1) : stepper.times);
  const { step: steps } = stepper;
  return { steps, loss, validation: evaluation, msPerStep, aborted: aborted(signal) };
}

function aborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted ?? false;
}

/** Turns batches into updates. */
class Stepper {
  /** Updates done. */
  step = 0;
  private started = false;
  readonly times: number[] = [];
  private readonly options: TrainOptions;
  private readonly microBatches: number;
  /** Micro-batches since the last update; an epoch's incomplete rest is completed by the next one. */
  private pending: { losses: number[]; ms: number } = { losses: [], ms: 0 };

  constructor(options: TrainOptions) {
    this.options = options;
    this.microBatches = options.microBatches ?? 1;
  }

  /** Runs one batch; returns the event of the update that it completed, or null. */
  async add(batch: Batch, epoch: number): Promise<StepEvent | null> {
    const { executor, optimizer, schedule } = this.options;
    const started = performance.now();
    const learningRate = schedule(this.step);
    const scalars = optimizer.scalars(this.step + 1, learningRate);
    const entry = this.microBatches > 1 ? 'micro' : 'step';
    if (!this.started) await this.start(batch);
    executor.write(`${entry}.images`, batch.images);
    executor.write(`${entry}.labels`, batch.labels);
    batch.taken?.();
    if (entry === 'step') writeScalars(executor, entry, scalars);
    await executor.run(entry);
    const [loss] = await executor.read(`${entry}.loss`);
    this.checkLoss(loss, epoch);
    this.pending.losses.push(loss);
    const last = this.pending.losses.length === this.microBatches;
    if (last && entry === 'micro') {
      writeScalars(executor, 'apply', scalars);
      await executor.run('apply');
    }
    this.pending.ms += performance.now() - started;
    return last ? this.complete(epoch, learningRate) : null;
  }

  /** Sets the method's states from the first batch, where it has any. */
  private async start(batch: Batch): Promise<void> {
    const { executor } = this.options;
    this.started = true;
    if (!executor.program.entries.some((entry) => entry.name === 'start')) return;
    executor.write('start.images', batch.images);
    await executor.run('start');
  }

  private complete(epoch: number, learningRate: number): StepEvent {
    const { losses, ms } = this.pending;
    this.pending = { losses: [], ms: 0 };
    this.step++;
    this.times.push(ms);
    return { event: 'step', epoch, step: this.step, loss: mean(losses), learningRate, ms };
  }

  private checkLoss(loss: number, epoch: number): void {
    if (Number.isFinite(loss)) return;
    throw lossNotFinite(loss, `step ${String(this.step + 1)}, epoch ${String(epoch)}`);
  }
}

function writeScalars(
  executor: Executor,
  entry: string,
  scalars: Readonly<Record<string, Float64Array>>,
): void {
  for (const [name, data] of Object.entries(scalars)) executor.write(`${entry}.${name}`, data);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
