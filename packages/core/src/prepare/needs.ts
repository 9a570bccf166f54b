/**
 * needs: the bytes that preparing takes, planned before anything is read: of the very programs that it runs,
 * one after the other, and of what is on the host beside each.
 *
 *   forward    a part, the activations of all calibration batches, held inputs
 *   pass       a block forward and backward, what its compressed linears see
 *   options    one such linear, what the others see
 *   moments    a block forward and backward, gradients, then the sums
 *   spectra    one weight, the block's sums
 *   factor     one weight, its moments
 *
 * Blocks of one shape take the same, so only one of them is planned.
 */
import type { WeightSource } from '../train/weights.js';
import { printGraph } from '../ir/print.js';
import type { Graph } from '../ir/graph.js';
import { bytesOf, elements, type TensorType } from '../ir/types.js';
import { plannedBytes } from '../program.js';
import { triedEpsilons } from './activations.js';
import { backwardGraph, calibrationBatches } from './calibrate.js';
import { factorGraphs } from './emit.js';
import { heldRowBytes } from './held.js';
import { optionGraphs, spectrumGraphs } from './measure.js';
import { measuringGraph, momentSize } from './moments.js';
import { passGraph } from './perplexity.js';
import { askedOf, askedParts } from './prepare.js';
import type { Site, SitedPart } from './sites.js';
import { programOf } from './stage.js';
import type { PrepareOptions } from './types.js';

/** Bytes beside those of the process. */
export interface PreparationBytes {
  /** The most while ranks are found. */
  readonly finding: number;
  /** What is kept on the host from then until the weights are emitted. */
  readonly left: number;
  /** The most while weights are emitted, beside `left` and the executor that takes them. */
  readonly emitting: number;
}

/**
 * What `prepare` would take beside the process, in bytes, without running anything.
 *
 * @param shapes those of the weights to start from
 */
export function preparationBytes(
  options: Pick<PrepareOptions, 'model' | 'method' | 'batch' | 'threads'>,
  shapes: WeightSource['shapes'],
): PreparationBytes {
  const asked = askedOf(options, shapes);
  const parts = askedParts(asked);
  const { weights = null, activations = null } = options.method.probe ?? {};
  const sites = parts.flatMap((part) => part.sites);
  const factored = sites.filter(({ weight }) => asked.weights.has(weight));
  const data = factored.length > 0 && weights?.truncation === 'data';
  const first = parts.findIndex((part) => part.sites.length > 0);
  const left = data ? sum(factored.map(momentBytes)) : 0;
  const planned = (graphs: Graphs) => plannedBytes(programOf(graphs), options.threads);
  const emitting = Math.max(
    0,
    ...distinct(factored, sizeOf).map((site) => emittingBytes(site, data, planned)),
  );
  if (first < 0) return { finding: 0, left, emitting };
  const calibrates = data || asked.activations.size > 0;
  const count = calibrates
    ? calibrationBatches(
        parts.map(({ part }) => part),
        first,
      )
    : 0;
  const back = data ? count : Math.min(1, count);
  const measured = parts.slice(first, -1);
  const inputs = back * sum(measured.map(({ part }) => heldBytes(part.x.type)));
  const context = {
    planned,
    count,
    back,
    data,
    epsilons: triedEpsilons(activations?.epsilon ?? 1),
  };
  const kinds = distinct(parts, ({ part }) => printGraph(part.graph));
  const finding = [
    ...(calibrates ? kinds.map((part) => forwardBytes(part, context)) : []),
    ...(calibrates ? [tailBytes(parts[parts.length - 1], context)] : []),
    ...distinct(measured, kindOf).map(({ part, sites: own }) => {
      const needed = {
        part,
        weights: own.filter(({ weight }) => asked.weights.has(weight)),
        activations: own.filter(({ weight }) => asked.activations.has(weight)),
      };
      return left + measuringBytes(needed, context);
    }),
  ];
  return { finding: inputs + Math.max(...finding), left, emitting };
}

type Graphs = Readonly<Record<string, Graph>>;

interface Context {
  readonly planned: (graphs: Graphs) => number;
  /** Calibration batches, and those that go back. */
  readonly count: number;
  readonly back: number;
  readonly data: boolean;
  readonly epsilons: readonly number[];
}

function forwardBytes({ part }: SitedPart, { planned, count }: Context): number {
  const [x, y] = [bytesOf(part.x.type), bytesOf(part.y.type)];
  return planned({ run: part.graph }) + count * Math.max(x, y) + y;
}

function tailBytes({ part }: SitedPart, { planned, back }: Context): number {
  return planned({ run: backwardGraph(part) }) + back * (2 * bytesOf(part.x.type));
}

interface MeasuredSites {
  readonly part: SitedPart['part'];
  readonly weights: readonly Site[];
  readonly activations: readonly Site[];
}

/** The largest of what runs for one part, held inputs and moments apart. */
function measuringBytes({ part, weights, activations }: MeasuredSites, context: Context): number {
  const { planned, count, back, data, epsilons } = context;
  const [x, y] = [bytesOf(part.x.type), bytesOf(part.y.type)];
  const seen = sum(activations.map((site) => bytesOf(site.x.type) + bytesOf(site.y.type)));
  const sums = data ? 2 * sum(weights.map(squareBytes)) : 0;
  const most: number[] = [];
  if (count > 0 && (activations.length > 0 || !data)) {
    const results = (data ? 1 : back) * x;
    most.push(planned({ pass: passGraph({ part, sites: activations }) }) + back * y + x + results);
    most[0] += seen;
    const options = distinct(activations, (site) => `${shapeOf(site.x.type)} ${sizeOf(site)}`);
    for (const site of options) {
      most.push(planned(optionGraphs(site, epsilons)) + back * y + results + seen);
    }
  }
  if (data) {
    const measure = measuringGraph({ part, sites: weights });
    most.push(planned({ measure }) + back * (x + y) + x + sums);
  }
  if (weights.length > 0) {
    const one = Math.max(...weights.map((site) => weightBytes(site) + 4 * squareBytes(site)));
    most.push(planned(spectrumGraphs({ weights, data })) + back * x + sums + one);
  }
  return Math.max(0, ...most);
}

/** At the largest rank that is smaller than the dense weight. */
function emittingBytes(site: Site, data: boolean, planned: Context['planned']): number {
  const { outputs, inputs } = site;
  const rank = Math.max(1, Math.floor((outputs * inputs) / (outputs + inputs)));
  const host = 2 * weightBytes(site) + 2 * squareBytes(site);
  return planned(factorGraphs(site, rank, data)) + host;
}

function weightBytes({ outputs, inputs }: Site): number {
  return outputs * inputs * Float32Array.BYTES_PER_ELEMENT;
}

/** One n × n matrix of a site. */
function squareBytes(site: Site): number {
  return momentSize(site) ** 2 * Float32Array.BYTES_PER_ELEMENT;
}

/** Two triangles (held.ts). */
function momentBytes(site: Site): number {
  const size = momentSize(site);
  return 2 * size * (size + 1);
}

function heldBytes({ shape }: TensorType): number {
  return heldRowBytes(elements(shape), shape[shape.length - 1]);
}

/** Parts of one kind run the same programs. */
function kindOf({ part, sites }: SitedPart): string {
  return [printGraph(part.graph), ...sites.map(({ y }) => y.name)].join('\n');
}

function sizeOf({ outputs, inputs }: Site): string {
  return `${String(outputs)} ${String(inputs)}`;
}

function shapeOf({ shape }: TensorType): string {
  return shape.join(' ');
}

/** The first of each kind. */
function distinct<T>(all: readonly T[], kind: (one: T) => string): readonly T[] {
  return [...new Map([...all].reverse().map((one) => [kind(one), one])).values()];
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
