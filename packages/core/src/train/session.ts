/**
 * A Session: one training run as it stands. It owns the phase with its executor, the tensors that live across
 * steps, and the counters; `train` drives it with batches, and knows no entry by its name.
 *
 * What an update is, the program says: one run of `step`, or as many of `micro` as it has micro-batches and
 * one of `apply`; before it, the entries whose cue has come (program.ts). A phase is another program from an
 * epoch on: tensors cross over by name, as they are or as the phase's `carry` makes them, and only one
 * executor is there at a time.
 *
 * `snapshot` is everything (snapshot.ts): each parameter, state and counter with its own type, behind any
 * micro-batch. A session that is restored from it continues to the same bits.
 */
import type { CompiledPhase } from '../compile.js';
import { ConfigError, DataError } from '../errors.js';
import type { Executor, ExecutorKind } from '../executors/executor.js';
import { hostArray } from '../ir/host.js';
import { elements, sameType, type HostData } from '../ir/types.js';
import type { Optimizer } from '../optim/optimizer.js';
import { accumulators, optimizerText, rateInput } from '../program.js';
import type { Cue, Program, Training } from '../program.js';
import { checkLabels, logitsShape, type Batch } from './batch.js';
import { lossNotFinite } from './divergence.js';
import {
  checkProgress,
  noProgress,
  otherSnapshot,
  sessionTensors,
  type Progress,
  type SessionTensor,
  type Snapshot,
  type SnapshotTensor,
} from './snapshot.js';

interface SessionParts {
  /** The one that the programs were compiled with: it computes the scalars of each step. */
  readonly optimizer: Optimizer;
  /** Of what entries on a cue draw; default 0. */
  readonly seed?: number;
}

/** A session of an executor that is loaded already. */
export interface SessionOptions extends SessionParts {
  /** Holds a program that was compiled for training, weights written; whoever made it disposes of it. */
  readonly executor: Executor;
}

/** A session that loads the programs of its phases itself. */
export interface StartOptions extends SessionParts {
  /** By rising epochs, the first from 1. */
  readonly phases: readonly CompiledPhase[];
  readonly kind: ExecutorKind;
  readonly threads?: number;
}

/** An update that a batch completed. */
export interface Update {
  /** Mean over the micro-batches. */
  readonly loss: number;
  /** Time of writing the batches, running and reading the loss. */
  readonly ms: number;
}

/** An executor that holds the program of a phase. */
interface Phase {
  readonly index: number;
  readonly executor: Executor;
  readonly training: Training;
  /** The entry of a forward and backward pass. */
  readonly entry: 'step' | 'micro';
  /** Classes of its logits; null where the host does not get them. */
  readonly classes: number | null;
}

/**
 * A run of training, one batch at a time.
 *
 * @example
 * const session = Session.of({ executor, optimizer });
 * await session.beginEpoch(1);
 * for (const batch of batches) await session.add(batch, 0.01);
 */
export class Session {
  private readonly optimizer: Optimizer;
  private readonly start: StartOptions | null;
  private phase: Phase;
  /** How far it has come, but for the losses of the epoch. */
  private at: Omit<Progress, 'losses'>;
  private losses: number[] = [];
  /** Time of the micro-batches since the last update. */
  private pendingMs = 0;

  private constructor(parts: SessionParts, phase: Phase, start: StartOptions | null) {
    const { optimizer, seed = 0 } = parts;
    this.optimizer = optimizer;
    this.at = noProgress(seed);
    this.start = start;
    this.phase = phase;
    checkOptimizer(optimizer, phase.training);
  }

  /** A session of one phase. Throws ConfigError for another optimiser than the program's. */
  static of(options: SessionOptions): Session {
    return new Session(options, phaseOf(options.executor, 0), null);
  }

  /** Loads the program of the first phase; its weights are to be written. Throws what `load` throws. */
  static async start(options: StartOptions): Promise<Session> {
    const { phases } = options;
    const rising = phases.every(({ from }, at) => from > (at === 0 ? 0 : phases[at - 1].from));
    if (phases.length === 0 || phases[0].from !== 1 || !rising) {
      throw new ConfigError({
        where: 'Session.start, option phases',
        expected: 'at least one, by rising epochs from 1 on',
        got: phases.map(({ from }) => String(from)).join(', ') || 'none',
        todo: 'Take the phases that compilePhases returns',
      });
    }
    return new Session(options, await loaded(options, 0), options);
  }

  /** The executor of the present phase. */
  get executor(): Executor {
    return this.phase.executor;
  }

  /** What the present program was compiled for. */
  get training(): Training {
    return this.phase.training;
  }

  /** Updates done. */
  get step(): number {
    return this.at.step;
  }

  /** How far it has come. */
  get progress(): Progress {
    return { ...this.at, losses: [...this.losses] };
  }

  /** What lives across steps, each of which `executor` reads and writes by its name. */
  get tensors(): readonly SessionTensor[] {
    return sessionTensors(this.executor.program);
  }

  /**
   * Notes that `epoch` begins, unless it has begun; loads the program of its phase where that is another one.
   */
  async beginEpoch(epoch: number): Promise<void> {
    if (!this.at.isEpochDone && epoch === this.at.epoch) return;
    this.losses = [];
    this.at = { ...this.at, epoch, isEpochDone: false, isNewEpoch: true, passes: 0 };
    await this.enterPhaseOf(epoch);
  }

  /** Notes that the epoch at hand is done. */
  endEpoch(): void {
    this.losses = [];
    this.at = { ...this.at, isEpochDone: true, passes: 0 };
  }

  /**
   * Runs one batch; returns the update that it completed, or null. Throws DataError for a batch that is not
   * full or a label that is no class, TrainingError for a loss that is no finite number.
   */
  async add(batch: Batch, learningRate: number): Promise<Update | null> {
    const { executor, entry, training } = this.phase;
    const started = performance.now();
    this.checkBatch(batch);
    checkRate(learningRate, this.step);
    const scalars = this.scalars(learningRate);
    if (this.at.pending.length === 0) await this.runCued(batch);
    executor.write(`${entry}.images`, batch.images);
    executor.write(`${entry}.labels`, batch.labels);
    batch.taken?.();
    if (entry === 'step') writeScalars(executor, entry, scalars);
    await executor.run(entry);
    const [loss] = await executor.read(`${entry}.loss`);
    if (!Number.isFinite(loss)) throw lossNotFinite(loss, this.place());
    const { passes, pending } = this.at;
    this.at = { ...this.at, passes: passes + 1, pending: [...pending, loss] };
    const isLast = this.at.pending.length === training.microBatches;
    if (isLast && entry === 'micro') {
      writeScalars(executor, 'apply', scalars);
      await executor.run('apply');
    }
    this.pendingMs += performance.now() - started;
    return isLast ? this.complete() : null;
  }

  /** Drops the gradients of an update that no more batches came for: nothing shall add to them. */
  dropRest(): void {
    const { executor } = this.phase;
    if (this.at.pending.length === 0) return;
    for (const index of accumulators(executor.program)) {
      const { name, type } = executor.program.slots[index];
      executor.write(name, hostArray(type));
    }
    this.at = { ...this.at, pending: [] };
    this.pendingMs = 0;
  }

  /** The session as it stands, behind any micro-batch; a copy of all its tensors. */
  async snapshot(): Promise<Snapshot> {
    return { progress: this.progress, tensors: await tensorsOf(this.executor) };
  }

  /**
   * Continues from a snapshot, with everything written. Throws ConfigError where it is not of this session's
   * programs or seed.
   */
  async restore({ progress, tensors }: Snapshot): Promise<void> {
    const known = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    await this.restoreFrom(progress, ({ name, type }) => {
      const tensor = known.get(name);
      if (!tensor || !sameType(tensor.type, type)) throw otherSnapshot(name, 'none of its type');
      return tensor.data;
    });
  }

  /** The same with tensors that are read one at a time. Throws what `read` throws, too. */
  async restoreFrom(progress: Progress, read: (tensor: SessionTensor) => HostData): Promise<void> {
    await this.enterPhaseOf(progress.epoch);
    checkProgress(progress, this.at.seed, this.training.microBatches);
    for (const tensor of this.tensors) this.executor.write(tensor.name, read(tensor));
    if (progress.pending.length > 0) this.executor.sumsHold(progress.pending.length);
    this.at = progress;
    this.losses = [...progress.losses];
    this.pendingMs = 0;
  }

  /** Frees the executor that `start` loaded; one that was given stays. */
  async dispose(): Promise<void> {
    if (this.start) await this.phase.executor.dispose();
  }

  private async enterPhaseOf(epoch: number): Promise<void> {
    const due = this.start?.phases.findLastIndex(({ from }) => from <= Math.max(1, epoch)) ?? 0;
    if (this.start && due !== this.phase.index) await this.enter(this.start, due);
  }

  private async enter(start: StartOptions, index: number): Promise<void> {
    this.dropRest();
    const tensors = await tensorsOf(this.phase.executor);
    await this.phase.executor.dispose();
    this.phase = await loaded(start, index);
    checkOptimizer(this.optimizer, this.phase.training);
    const { carry = (_name: string, data: HostData) => data } = start.phases[index];
    const known = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    for (const { name, type } of this.tensors) {
      const tensor = known.get(name);
      const data = tensor && sameType(tensor.type, type) ? carry(name, tensor.data) : null;
      if (data) this.executor.write(name, data);
    }
  }

  /** The scalars of the update at hand, with a rate for each group. */
  private scalars(learningRate: number): Readonly<Record<string, Float64Array>> {
    const own = this.optimizer.scalars(this.step + 1, learningRate);
    const groups = Object.entries(this.phase.training.rates).map(
      ([group, factor]) => [rateInput(group), Float64Array.of(factor * learningRate)] as const,
    );
    return { ...own, ...Object.fromEntries(groups) };
  }

  /** Runs the entries whose cue has come, on the first images of the update. */
  private async runCued(batch: Batch): Promise<void> {
    const { executor, training } = this.phase;
    for (const [entry, cue] of Object.entries(training.cues)) {
      const count = this.at.counts[entry] ?? 0;
      if (!this.isDue(cue, count)) continue;
      const given: Readonly<Record<string, HostData | undefined>> = {
        images: batch.images,
        labels: batch.labels,
        seed: Int32Array.of(this.at.seed),
        count: Int32Array.of(count),
      };
      const { slots, entries } = executor.program;
      const { inputs } = entries.find(({ name }) => name === entry) ?? {};
      for (const [name, at] of Object.entries(inputs ?? {})) {
        const data = given[name];
        if (data)
          executor.write(`${entry}.${name}`, data.subarray(0, elements(slots[at].type.shape)));
      }
      await executor.run(entry);
      this.at = { ...this.at, counts: { ...this.at.counts, [entry]: count + 1 } };
    }
    this.at = { ...this.at, isNewEpoch: false };
  }

  private isDue(cue: Cue, count: number): boolean {
    switch (cue.at) {
      case 'start':
        return count === 0;
      case 'steps':
        return this.step % cue.every === 0;
      case 'epoch':
        return this.at.isNewEpoch;
    }
    return cue satisfies never;
  }

  private complete(): Update {
    const { pending, step, firstLoss } = this.at;
    const loss = pending.reduce((sum, each) => sum + each, 0) / pending.length;
    const ms = this.pendingMs;
    this.losses.push(loss);
    this.at = { ...this.at, pending: [], step: step + 1, firstLoss: firstLoss ?? loss };
    this.pendingMs = 0;
    return { loss, ms };
  }

  private checkBatch({ labels, real }: Batch): void {
    const { classes, training } = this.phase;
    const { batch: rows } = training;
    if (real !== rows) throw partialBatch(this.place(), rows, real);
    checkLabels(this.place(), labels, { rows, real, classes });
  }

  private place(): string {
    return `step ${String(this.step + 1)}, epoch ${String(this.at.epoch)}`;
  }
}

async function loaded({ phases, kind, threads }: StartOptions, index: number): Promise<Phase> {
  const { program } = phases[index];
  return phaseOf(await kind.load(program, threads === undefined ? {} : { threads }), index);
}

function phaseOf(executor: Executor, index: number): Phase {
  const training = trainingOf(executor.program);
  const entry = training.microBatches > 1 ? 'micro' : 'step';
  const classes = logitsShape(executor.program, entry)?.[1] ?? null;
  return { index, executor, training, entry, classes };
}

async function tensorsOf(executor: Executor): Promise<readonly SnapshotTensor[]> {
  const tensors: SnapshotTensor[] = [];
  for (const { name, type } of sessionTensors(executor.program)) {
    tensors.push({ name, type, data: await executor.read(name) });
  }
  return tensors;
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
