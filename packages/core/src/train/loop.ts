/**
 * The training loop: batches in, events out. The only part that knows about epochs.
 *
 * What a step is, the program says: one run of `step`, or as many of `micro` as it has micro-batches and one
 * of `apply`; a program with the entry `start` runs that first, on the first batch. A loss that is not a
 * number, or far above that of guessing, stops the run before anything is saved from it (`divergence.ts`).
 * The loop keeps no state of its own beyond counters; weights and optimiser state live in the executor.
 */
import { ConfigError, DataError, NumericError } from '../errors.js';
import type { Executor } from '../executors/executor.js';
import { hostArray } from '../ir/host.js';
import type { Optimizer } from '../optim/optimizer.js';
import { accumulators, optimizerText, type Program, type Training } from '../program.js';
import { checkLabels, logitsShape, type Batch, type Batches } from './batch.js';
import { DivergenceCheck, lossNotFinite } from './divergence.js';
import { evaluate, type Evaluation } from './evaluate.js';
import type { Schedule } from './schedule.js';
import { median } from './statistics.js';

export interface TrainOptions {
  /** Holds a program that was compiled for training, weights written. */
  readonly executor: Executor;
  /** The one that the program was compiled with: it computes the scalars of each step. */
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly epochs: number;
  /** Batches of one epoch, each of the program's batch size. */
  readonly batches: (epoch: number) => Batches;
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
    const { step } = stepper;
    const where = `validation after step ${String(step)}, epoch ${String(epoch)}`;
    const measured = validation ? await validated(executor, validation(), where, signal) : null;
    if (aborted(signal)) break;
    if (measured && measured.images > 0) divergence.validation(measured.loss, where);
    evaluation = measured;
    const seconds = (performance.now() - started) / 1000;
    await onEvent?.({ event: 'epoch', epoch, step, loss, validation: evaluation, seconds });
  }
  stepper.dropRest();
  const msPerStep = median(stepper.times.length > 1 ? stepper.times.slice(1) : stepper.times);
  const { step: steps } = stepper;
  return { steps, loss, validation: evaluation, msPerStep, aborted: aborted(signal) };
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
  private readonly training: Training;
  /** The entry of a pass. */
  private readonly entry: 'step' | 'micro';
  /** Classes of the pass's logits; null where the host does not get them. */
  private readonly classes: number | null;
  /** Micro-batches since the last update; an epoch's incomplete rest is completed by the next one. */
  private pending: { losses: number[]; ms: number } = { losses: [], ms: 0 };

  constructor(options: TrainOptions) {
    const { program } = options.executor;
    this.options = options;
    this.training = trainingOf(program);
    this.entry = this.training.microBatches > 1 ? 'micro' : 'step';
    this.classes = logitsShape(program, this.entry)?.[1] ?? null;
    checkOptimizer(options.optimizer, this.training);
  }

  /** Runs one batch; returns the event of the update that it completed, or null. */
  async add(batch: Batch, epoch: number): Promise<StepEvent | null> {
    const { entry } = this;
    const { executor, optimizer, schedule } = this.options;
    const started = performance.now();
    this.checkBatch(batch, epoch);
    const learningRate = schedule(this.step);
    checkRate(learningRate, this.step);
    const scalars = optimizer.scalars(this.step + 1, learningRate);
    if (!this.started) await this.start(batch);
    executor.write(`${entry}.images`, batch.images);
    executor.write(`${entry}.labels`, batch.labels);
    batch.taken?.();
    if (entry === 'step') writeScalars(executor, entry, scalars);
    await executor.run(entry);
    const [loss] = await executor.read(`${entry}.loss`);
    this.checkLoss(loss, epoch);
    this.pending.losses.push(loss);
    const last = this.pending.losses.length === this.training.microBatches;
    if (last && entry === 'micro') {
      writeScalars(executor, 'apply', scalars);
      await executor.run('apply');
    }
    this.pending.ms += performance.now() - started;
    return last ? this.complete(epoch, learningRate) : null;
  }

  /** Drops the gradients of an update that no more batches came for: nothing shall add to them. */
  dropRest(): void {
    const { executor } = this.options;
    if (this.pending.losses.length === 0) return;
    for (const index of accumulators(executor.program)) {
      const { name, type } = executor.program.slots[index];
      executor.write(name, hostArray(type));
    }
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

  private checkBatch({ labels, real }: Batch, epoch: number): void {
    const { batch: rows } = this.training;
    const where = `step ${String(this.step + 1)}, epoch ${String(epoch)}`;
    if (real !== rows) throw partialBatch(where, rows, real);
    checkLabels(where, labels, { rows, real, classes: this.classes });
  }

  private checkLoss(loss: number, epoch: number): void {
    if (Number.isFinite(loss)) return;
    throw lossNotFinite(loss, `step ${String(this.step + 1)}, epoch ${String(epoch)}`);
  }
}

function trainingOf({ training, entries }: Program): Training {
  if (training !== null) return training;
  throw new ConfigError({
    where: 'train, option executor',
    expected: 'a program that was compiled for training',
    got: `one with the entries ${entries.map(({ name }) => name).join(', ')}`,
    todo: 'Compile it with an optimizer',
  });
}

/** Throws ConfigError for another optimiser than the program's. */
function checkOptimizer(given: Optimizer, { optimizer }: Training): void {
  const sorted = ({ name, settings }: Training['optimizer']) =>
    JSON.stringify([name, ...Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1))]);
  if (sorted(given) === sorted(optimizer)) return;
  throw new ConfigError({
    where: 'train, option optimizer',
    expected: `${optimizerText(optimizer)}, which the program was compiled with`,
    got: optimizerText(given),
    todo: 'Pass the same optimizer to compile and to train',
  });
}

/** Throws ConfigError for what is no learning rate, before any weight is moved by it. */
function checkRate(rate: number, step: number): void {
  if (rate >= 0 && Number.isFinite(Math.fround(rate))) return;
  throw new ConfigError({
    where: `train, option schedule at step ${String(step)}`,
    expected: 'a finite learning rate ≥ 0',
    got: String(rate),
    todo: 'Change the schedule',
  });
}

function partialBatch(where: string, rows: number, real: number): DataError {
  return new DataError({
    where,
    expected: `a batch of ${String(rows)} images that all count`,
    got: `${String(real)} of them`,
    todo: 'Leave batches out that are not full: padding would be trained on',
  });
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
