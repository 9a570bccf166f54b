/**
 * Forgetter: the executor of an importance program, with what is known of the importance so far.
 *
 *   const forgetter = new Forgetter(executor, model, { pass: 1, labelFree: false });
 *   for await (const batch of toForget) await forgetter.add('forget', batch);
 *   for await (const batch of retained) await forgetter.add('base', batch);
 *   const alpha = await forgetter.automaticAlpha(automaticShare(50, 1000));
 *   const changes = await forgetter.dampen({ alpha, lambda: 1 });
 *   await forgetter.restore(changes);
 *
 * Only one parameter's importance is on the host at a time.
 */
import { DataError, NumericError } from '../errors.js';
import { type Executor, type HostData } from '../executors/executor.js';
import { firstNotFinite } from '../finite.js';
import { parameters, type ModelGraph, type Parameter } from '../ir/graph.js';
import { elements } from '../ir/types.js';
import type { Batch } from '../train/batch.js';
import {
  checkDampening,
  dampen,
  ratios,
  restore,
  selectedCount,
  type Change,
  type DampenSettings,
  type Importance,
} from './dampen.js';
import { importanceEntry, importanceName, IMPORTANCE_SETS } from './importance.js';
import type { ImportanceSet } from './importance.js';
import { quantile } from './quantile.js';

/** What was changed, by parameter; parameters without a change are absent. */
export type Changes = ReadonlyMap<string, Change>;

/** Elements of a group of layers, and how many of them are selected. */
export interface Share {
  /** Prefix of a block, or `input`, `tail` and `head` for what lies before and behind the blocks. */
  readonly group: string;
  readonly elements: number;
  readonly selected: number;
}

/** Selective Synaptic Dampening of the weights in an executor: importance, threshold, dampening, and back. */
export class Forgetter {
  private readonly executor: Executor;
  private readonly model: ModelGraph;
  /** Images of a whole pass. */
  private readonly pass: number;
  private readonly passes: Record<ImportanceSet, number> = { forget: 0, base: 0 };
  /** Parameters that have an importance. */
  private readonly known: readonly Parameter[];

  /**
   * @param executor of an `importanceProgram`, weights written
   * @param model the graph of the method, for any batch
   */
  constructor(executor: Executor, model: ModelGraph, pass: number) {
    this.executor = executor;
    this.model = model;
    this.pass = pass;
    const slots = new Set(executor.program.slots.map(({ name }) => name));
    this.known = parameters(model.graph).filter(({ name }) =>
      IMPORTANCE_SETS.every((set) => slots.has(importanceName(set, name))),
    );
  }

  /**
   * Adds the importance of a batch's images; a batch is a whole pass or the last of its set, unless
   * passes are single images. Throws DataError where the program has no pass of this size.
   */
  async add(set: ImportanceSet, { images, labels, real, taken }: Batch): Promise<void> {
    const { pass, executor } = this;
    const size = images.length / labels.length;
    const step = Math.min(pass, real);
    const entry = importanceEntry(set, step);
    const known = executor.program.entries.find(({ name }) => name === entry);
    if (real % step > 0 || !known) throw oddBatch(set, real, pass);
    for (let row = 0; row < real; row += step) {
      executor.write(`${entry}.images`, images.subarray(row * size, (row + step) * size));
      if (Object.hasOwn(known.inputs, 'labels')) {
        executor.write(`${entry}.labels`, labels.subarray(row, row + step));
      }
      if (row + step === real) taken?.();
      await executor.run(entry);
      this.passes[set]++;
    }
  }

  /** Mean importance of a parameter; all 0 for one that does not matter for any loss. */
  async importance(parameter: Parameter): Promise<Importance> {
    const [forget, base] = [
      await this.mean('forget', parameter),
      await this.mean('base', parameter),
    ];
    return { forget, base };
  }

  /** The α below which this share of all finite ratios of importance lies. Throws DataError. */
  automaticAlpha(share: number): Promise<number> {
    return quantile(() => this.eachRatios(), share);
  }

  /** How much α selects, by groups of layers in the order of the model. */
  async shares(alpha: number): Promise<readonly Share[]> {
    const groups = new Map<string, Share>();
    for (const parameter of parameters(this.model.graph)) {
      const group = groupOf(this.model, parameter.name);
      const before = groups.get(group) ?? { group, elements: 0, selected: 0 };
      const importance = this.known.includes(parameter) ? await this.importance(parameter) : null;
      groups.set(group, {
        group,
        elements: before.elements + elements(parameter.type.shape),
        selected: before.selected + (importance ? selectedCount(importance, alpha) : 0),
      });
    }
    return [...groups.values()];
  }

  /** Dampens the weights in the executor; what it changed. Throws ConfigError for impossible settings. */
  async dampen(settings: DampenSettings): Promise<Changes> {
    checkDampening(settings);
    const changes = new Map<string, Change>();
    for (const parameter of this.known) {
      const { name } = parameter;
      const values = floats(await this.executor.read(name));
      const change = dampen(values, await this.importance(parameter), settings);
      if (change.indices.length === 0) continue;
      this.executor.write(name, values);
      changes.set(name, change);
    }
    return changes;
  }

  /** Puts back what `dampen` changed, bit for bit. */
  async restore(changes: Changes): Promise<void> {
    for (const [name, change] of changes) {
      const values = floats(await this.executor.read(name));
      restore(values, change);
      this.executor.write(name, values);
    }
  }

  private async *eachRatios(): AsyncGenerator<Float64Array, void, void> {
    for (const parameter of this.known) yield ratios(await this.importance(parameter));
  }

  private async mean(set: ImportanceSet, { name }: Parameter): Promise<Float64Array> {
    const sums = await this.executor.read(importanceName(set, name));
    const at = firstNotFinite(sums);
    if (at >= 0) throw notFinite(name, sums[at], at);
    const passes = this.passes[set];
    const means = new Float64Array(sums.length);
    for (let i = 0; i < means.length; i++) means[i] = sums[i] / passes;
    return means;
  }
}

/** The group of layers that a parameter belongs to. */
function groupOf({ blocks, downsampling = {}, tail, head }: ModelGraph, name: string): string {
  const isOf = (prefix: string | undefined) => prefix !== undefined && name.startsWith(prefix);
  const block = blocks.find((prefix) => isOf(prefix) || isOf(downsampling[prefix]));
  if (block !== undefined) return block.replace(/\.$/, '');
  if (isOf(head)) return 'head';
  return tail.some(isOf) ? 'tail' : 'input';
}

/** Weights of an arena, which the caller may change. */
function floats(data: HostData): Float32Array | Float64Array {
  return data instanceof Float32Array || data instanceof Float64Array
    ? data
    : Float32Array.from(data);
}

function oddBatch(set: ImportanceSet, real: number, pass: number): DataError {
  return new DataError({
    where: `importance of the ${set} images`,
    expected: `whole batches of ${String(pass)} images, and what is left of the set at its end`,
    got: `a batch of ${String(real)}`,
    todo: 'Leave unreadable images out before the program is compiled',
  });
}

function notFinite(name: string, value: number, at: number): NumericError {
  return new NumericError({
    where: `importance of ${name}`,
    expected: 'finite numbers',
    got: `${String(value)} at element ${String(at)}`,
    todo: 'The gradients of these weights lead beyond float32; use weights of a training that converged',
  });
}
