/**
 * measure: one part of the model, with everything that is to be known of its linears before ranks are
 * chosen. All of it is one program, so the part's weights are in memory once.
 */
import type { Executor, HostData } from '../executors/executor.js';
import type { Graph } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';
import { keptRows, measuredInput, rankOptions, type MeasuredInput } from './activations.js';
import type { Inputs } from './calibrate.js';
import { spectraGraph } from './factor.js';
import {
  gramGraph,
  measuringGraph,
  momentSize,
  pack,
  readMoments,
  type Moments,
} from './moments.js';
import { MOST_DIRECTIONS, modesGraph, perplexityGraph } from './perplexity.js';
import type { Site, SitedPart } from './sites.js';
import type { LayerSpectrum } from './spectra.js';
import { writeParameters, type Stage } from './stage.js';
import type { Part } from './cut.js';

export interface MeasureOptions {
  readonly stage: Stage;
  readonly part: Part;
  /** Linears whose weights are to be factored. */
  readonly weights: readonly Site[];
  /** True: in the metric of the data. */
  readonly data: boolean;
  /** Linears whose inputs are to be held in Tucker form, tried at these explained variances. */
  readonly activations: readonly Site[];
  readonly epsilons: readonly number[];
  /** Directions of a mode that are looked at; default MOST_DIRECTIONS. */
  readonly directions?: number;
  /** Input of the part and gradient of its output, for every calibration batch. */
  readonly inputs: Inputs;
  readonly gradients: readonly HostData[];
  readonly read: (name: string) => HostData;
}

export interface MeasuredWeight {
  /** Squared singular values. */
  readonly plain: LayerSpectrum;
  /** Energies in the metric of the choice. */
  readonly spectrum: LayerSpectrum;
  /** Upper triangles of M and S; null without data. */
  readonly moments: Moments | null;
}

export interface MeasuredPart {
  readonly weights: readonly MeasuredWeight[];
  readonly activations: readonly MeasuredInput[];
  /** dL/dx of the part for every calibration batch. */
  readonly gradients: readonly HostData[];
}

/** Measures a part. */
export async function measurePart(options: MeasureOptions): Promise<MeasuredPart> {
  const { stage, part, read } = options;
  const executor = await stage.load(graphsOf(options));
  writeParameters(executor, part, read);
  const activations = await measureActivations(options, executor);
  const gradients = await propagate(options, executor);
  const weights = await measureWeights(options, executor);
  return { weights, activations, gradients };
}

function graphsOf(options: MeasureOptions): Readonly<Record<string, Graph>> {
  const { part, weights, data, activations, epsilons, inputs } = options;
  const { directions = MOST_DIRECTIONS } = options;
  const sited: SitedPart = { part, sites: weights };
  const held: SitedPart = { part, sites: activations };
  const sizes = weights.map(momentSize);
  return {
    ...(inputs.count > 0 && { measure: measuringGraph({ part, sites: data ? weights : [] }) }),
    ...(weights.length > 0 && { gram: gramGraph(sited), plain: spectraGraph(sizes, false) }),
    ...(weights.length > 0 && data && { data: spectraGraph(sizes, true) }),
    ...(activations.length > 0 && {
      modes: modesGraph(held, directions),
      perplexity: perplexityGraph(
        held,
        activations.map(({ x }) => optionCount(x.type.shape, epsilons.length, directions)),
        directions,
      ),
    }),
  };
}

/** Adds up the moments of all batches; dL/dx of each. */
async function propagate(
  { stage, inputs, gradients }: MeasureOptions,
  executor: Executor,
): Promise<readonly HostData[]> {
  const results: HostData[] = [];
  for (let batch = 0; batch < inputs.count; batch++) {
    const x = inputs.at(batch);
    await stage.run(executor, 'measure', { x, dy: gradients[batch] });
    results.push(await executor.read('measure.dx'));
  }
  return results;
}

async function measureWeights(
  options: MeasureOptions,
  executor: Executor,
): Promise<readonly MeasuredWeight[]> {
  const { stage, weights, data } = options;
  if (weights.length === 0) return [];
  await stage.run(executor, 'gram', {});
  const grams = await readAll(executor, 'gram', weights.length);
  await stage.run(executor, 'plain', named('gram', grams));
  const plain = await readAll(executor, 'plain', weights.length);
  const moments = data ? await allMoments(options, executor, grams) : null;
  if (moments) {
    await stage.run(executor, 'data', {
      ...named(
        'metric',
        moments.map(({ metric }) => metric),
      ),
      ...named(
        'signal',
        moments.map(({ signal }) => signal),
      ),
    });
  }
  const energies = moments ? await readAll(executor, 'data', weights.length) : plain;
  return weights.map((site, index) => {
    const { weight, outputs, inputs } = site;
    const size = momentSize(site);
    const spectrum = (values: HostData) => ({
      weight,
      outputs,
      inputs,
      // Rounding can leave a zero energy just below zero.
      energies: Float64Array.from(values, (value) => Math.max(0, value)),
    });
    const own = moments?.[index];
    return {
      plain: spectrum(plain[index]),
      spectrum: spectrum(energies[index]),
      moments: own ? { metric: pack(own.metric, size), signal: pack(own.signal, size) } : null,
    };
  });
}

async function allMoments(
  { weights, inputs, read }: MeasureOptions,
  executor: Executor,
  grams: readonly HostData[],
): Promise<readonly Moments[]> {
  const result: Moments[] = [];
  for (const [index, site] of weights.entries()) {
    const tokens = inputs.count * (elements(site.y.type.shape) / site.outputs);
    const bias = site.bias === null ? null : read(site.bias);
    result.push(await readMoments(executor, site, index, { tokens, bias, gram: grams[index] }));
  }
  return result;
}

/** The options of the part's inputs, on the first batch. */
async function measureActivations(
  options: MeasureOptions,
  executor: Executor,
): Promise<readonly MeasuredInput[]> {
  const { stage, activations, epsilons, inputs, gradients } = options;
  const { directions = MOST_DIRECTIONS } = options;
  if (activations.length === 0) return [];
  const x = inputs.at(0);
  await stage.run(executor, 'modes', { x });
  const ranks: (readonly (readonly number[])[])[] = [];
  for (const [index, site] of activations.entries()) {
    const { shape } = site.x.type;
    const [total] = await executor.read(`modes.${String(index)}.energy`);
    const modes = await readAll(executor, `modes.${String(index)}`, shape.length);
    ranks.push(rankOptions(shape, { modes, total }, epsilons));
  }
  const masks: Record<string, Float32Array> = {};
  for (const [index, site] of activations.entries()) {
    const rotated = site.x.type.shape.slice(0, -1).map((extent) => Math.min(extent, directions));
    ranks[index].forEach((own, option) => {
      masks[`mask.${String(index)}.${String(option)}`] = keptRows(rotated, own);
    });
  }
  await stage.run(executor, 'perplexity', { x, dy: gradients[0], ...masks });
  const result: MeasuredInput[] = [];
  for (const [index, site] of activations.entries()) {
    const [total] = await executor.read(`perplexity.total.${String(index)}`);
    const full = await executor.read(`perplexity.full.${String(index)}`);
    const errors = await readAll(
      executor,
      `perplexity.error.${String(index)}`,
      ranks[index].length,
    );
    result.push(measuredInput(site, ranks[index], { total, full, errors }));
  }
  return result;
}

/** How many ranks `rankOptions` gives. */
function optionCount([first]: Shape, epsilons: number, directions: number): number {
  return directions < first ? epsilons : 2 * epsilons;
}

/** Outputs `<prefix>.0` … */
async function readAll(
  executor: Executor,
  prefix: string,
  count: number,
): Promise<readonly HostData[]> {
  const result: HostData[] = [];
  for (let index = 0; index < count; index++) {
    result.push(await executor.read(`${prefix}.${String(index)}`));
  }
  return result;
}

function named(what: string, matrices: readonly HostData[]): Readonly<Record<string, HostData>> {
  return Object.fromEntries(matrices.map((data, index) => [`${what}.${String(index)}`, data]));
}
