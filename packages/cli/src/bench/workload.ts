/**
 * What `thimble bench` runs: a compiled training step or forward pass, loaded with random weights,
 * on one batch of noise.
 *
 * The learning rate is zero: a step does the same work, and no number of them can diverge.
 */
import {
  checkpointed,
  ConfigError,
  elements,
  hostSlots,
  initialValues,
  Random,
  rateInput,
  required,
  type Executor,
  type ExecutorKind,
  type HostData,
  type ModelGraph,
  type Optimizer,
  type Program,
} from '@thimble/core';

export interface Work {
  readonly program: Program;
  /** Whose parameters start from their initial distribution. */
  readonly model: ModelGraph;
  readonly classes: number;
  /** null: the forward pass alone, entry `eval`. */
  readonly optimizer: Optimizer | null;
}

/** An entry of a step, and how often it runs. */
export interface Part {
  readonly entry: string;
  readonly times: number;
}

const SEED = 0;
/** Images of noise, as numbers or as levels. */
function noise({ dtype, shape }: Program['slots'][number]['type']): HostData {
  const random = Random.of(SEED, 'images');
  if (dtype !== 'i8') return random.fillNormal(new Float32Array(elements(shape)));
  return new Int8Array(elements(shape)).map(() => random.below(LEVELS) - LEVELS / 2);
}

/** Levels of a channel of a pixel. */
const LEVELS = 256;

/** Weights of a tensor that are drawn. */
const DRAWN = 65536;

export class Workload {
  readonly executor: Executor;
  readonly parts: readonly Part[];
  private readonly slots: ReadonlyMap<string, number>;
  /** Inputs by their name within an entry; each entry has some of them. */
  private readonly inputs: ReadonlyMap<string, HostData>;

  private constructor(executor: Executor, work: Work) {
    this.executor = executor;
    this.parts = partsOf(work.program);
    this.slots = hostSlots(executor.program);
    const images = `${this.parts[0].entry}.images`;
    const slot = required(this.slots.get(images), 'thimble bench', `a program with ${images}`);
    const { type } = executor.program.slots[slot];
    const labels = Int32Array.from({ length: type.shape[0] }, (_, row) => row % work.classes);
    this.inputs = new Map<string, HostData>([
      ['images', noise(type)],
      ['labels', labels],
      ...Object.entries(work.optimizer?.scalars(1, 0) ?? {}),
      ...Object.keys(work.program.training?.rates ?? {}).map(
        (group) => [rateInput(group), Float64Array.of(0)] as const,
      ),
      ['seed', Int32Array.of(SEED)],
      ['count', Int32Array.of(0)],
    ]);
  }

  /** Loads program and weights, and sets the method's states where it has any. */
  static async load(kind: ExecutorKind, work: Work, threads: number): Promise<Workload> {
    const executor = await kind.load(work.program, { threads });
    try {
      writeWeights(executor, work.model);
      const workload = new Workload(executor, work);
      for (const cued of Object.keys(work.program.training?.cues ?? {})) {
        await workload.runEntry(cued);
      }
      return workload;
    } catch (error) {
      await executor.dispose();
      throw error;
    }
  }

  /** Milliseconds of one step, writing the batch and reading the result included. */
  async step(): Promise<number> {
    const started = performance.now();
    for (const { entry, times } of this.parts) {
      for (let pass = 0; pass < times; pass++) await this.runEntry(entry);
    }
    return performance.now() - started;
  }

  /** Throws ConfigError where the executor cannot tell the time of each step. */
  requireProfile(): void {
    if (this.executor.profile) return;
    throw new ConfigError({
      where: '--profile',
      expected: 'an executor that times its steps',
      got: `--executor ${this.executor.name}`,
      todo: 'Choose --executor native or wasm',
    });
  }

  /** Milliseconds of each step of each part's entry, in the last of its runs. */
  async profile(): Promise<readonly (readonly number[])[]> {
    const result: (readonly number[])[] = [];
    for (const { entry, times } of this.parts) {
      for (let pass = 1; pass < times; pass++) await this.runEntry(entry);
      this.write(entry);
      result.push((await this.executor.profile?.(entry)) ?? []);
    }
    return result;
  }

  close(): Promise<void> {
    return this.executor.dispose();
  }

  private async runEntry(entry: string): Promise<void> {
    this.write(entry);
    await this.executor.run(entry);
    for (const output of ['loss', 'logits']) {
      if (this.slots.has(`${entry}.${output}`)) await this.executor.read(`${entry}.${output}`);
    }
  }

  /** The memory of the inputs is reused within a run, so they are written for each one. */
  private write(entry: string): void {
    for (const [name, data] of this.inputs) {
      const slot = this.slots.get(`${entry}.${name}`);
      if (slot === undefined) continue;
      // An entry on a cue may take fewer images than a pass has.
      const count = elements(this.executor.program.slots[slot].type.shape);
      this.executor.write(`${entry}.${name}`, data.subarray(0, count));
    }
  }
}

/** Drawing 86 million weights takes ten seconds: of a large tensor, the same draws again and again. */
function writeWeights(executor: Executor, model: ModelGraph): void {
  const held = hostSlots(executor.program);
  for (const { name, type, source } of checkpointed(model.graph)) {
    if (!held.has(name)) continue;
    const count = elements(type.shape);
    const { initial } = source;
    const drawn = initial.kind === 'orthonormal' ? type.shape : [Math.min(count, DRAWN)];
    const values = initialValues(initial, drawn, SEED, name);
    const all = new Float32Array(count);
    for (let at = 0; at < count; at += values.length) {
      all.set(values.subarray(0, count - at), at);
    }
    executor.write(name, all);
  }
}

function partsOf({ training }: Program): readonly Part[] {
  if (training === null) return [{ entry: 'eval', times: 1 }];
  const { microBatches } = training;
  if (microBatches === 1) return [{ entry: 'step', times: 1 }];
  return [
    { entry: 'micro', times: microBatches },
    { entry: 'apply', times: 1 },
  ];
}
