/**
 * measure: one part of the model, with everything that is to be known of its linears before ranks are
 * chosen.
 *
 *   pass       forward and backward on one batch, for the linears whose inputs are compressed
 *   options    each of those by itself (perplexity.ts)
 *   moments    forward and backward on all batches, adding up (moments.ts)
 *   spectra    each factored weight by itself (factor.ts)
 *
 * Every line is a program of its own, so that the part's weights, the moments and a decomposition are not in
 * memory together; what goes from one to the next waits on the host. A program takes what its largest entry
 * takes, so linears have entries of their own.
 */
import type { Executor, HostData } from '../executors/executor.js';
import type { Graph } from '../ir/graph.js';
import { elements, type Shape } from '../ir/types.js';
import { keptRows, measuredInput, rankOptions, type MeasuredInput } from './activations.js';
import type { Inputs } from './calibrate.js';
import type { Part } from './cut.js';
import { dataSpectrum, gramGraph, plainSpectrum } from './factor.js';
import { holdTriangle } from './held.js';
import {
  measuringGraph,
  momentSize,
  momentsOf,
  readSums,
  type HeldMoments,
  type MomentSums,
} from './moments.js';
import {
  directionCount,
  knowsAll,
  modesGraph,
  MOST_DIRECTIONS,
  passGraph,
  perplexityGraph,
} from './perplexity.js';
import type { Site } from './sites.js';
import type { LayerSpectrum } from './spectra.js';
import { writeParameters, type Stage } from './stage.js';

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
  /** Images of a micro-batch for each one of a calibration batch. */
  readonly growth: number;
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
  /** null without data. */
  readonly moments: HeldMoments | null;
}

export interface MeasuredPart {
  readonly weights: readonly MeasuredWeight[];
  readonly activations: readonly MeasuredInput[];
  /** dL/dx of the part for every calibration batch. */
  readonly gradients: readonly HostData[];
}

/** Measures a part. */
export async function measurePart(options: MeasureOptions): Promise<MeasuredPart> {
  const { activations, data, inputs } = options;
  const measured: MeasuredInput[] = [];
  let gradients: readonly HostData[] = [];
  if (inputs.count > 0 && (activations.length > 0 || !data)) {
    const passed = await runPasses(options);
    ({ gradients } = passed);
    for (let seen = passed.seen.shift(); seen; seen = passed.seen.shift()) {
      measured.push(await measureActivation(options, seen));
    }
  }
  let sums: MomentSums[] = [];
  if (data) ({ sums, gradients } = await addUp(options));
  const spectra = await measureWeights(options, sums);
  return { weights: spectra, activations: measured, gradients };
}

/** What a linear sees in the first batch. */
interface Seen {
  readonly site: Site;
  readonly x: HostData;
  readonly g: HostData;
}

/** What compressed linears see; dL/dx of every batch, unless `addUp` finds it. */
async function runPasses(options: MeasureOptions) {
  const { stage, part, activations, data, inputs, gradients, read } = options;
  const executor = await stage.load({ pass: passGraph({ part, sites: activations }) });
  writeParameters(stage, executor, part, read);
  const seen: Seen[] = [];
  const results: HostData[] = [];
  for (let batch = 0; batch < (data ? 1 : inputs.count); batch++) {
    await stage.run(executor, 'pass', { x: inputs.at(batch), dy: gradients[batch] });
    results.push(await stage.read(executor, 'pass.dx'));
    for (const [index, site] of batch === 0 ? activations.entries() : []) {
      const x = await stage.read(executor, `pass.x.${String(index)}`);
      seen.push({ site, x, g: await stage.read(executor, `pass.g.${String(index)}`) });
    }
  }
  return { seen, gradients: results };
}

/** The options of one input. */
async function measureActivation(
  options: MeasureOptions,
  { site, x, g }: Seen,
): Promise<MeasuredInput> {
  const { stage, epsilons, growth, directions = MOST_DIRECTIONS } = options;
  const { shape } = site.x.type;
  const executor = await stage.load(optionGraphs(site, epsilons, directions));
  await stage.run(executor, 'modes', { x });
  const [total] = await stage.read(executor, 'modes.energy');
  const read = async (prefix: string, all: number) => {
    const result: Float32Array[] = [];
    for (let index = 0; index < all; index++) {
      result.push(await stage.read(executor, `${prefix}.${String(index)}`));
    }
    return result;
  };
  const modes = await read('modes', shape.length);
  const ranks = rankOptions(shape, { modes, total }, epsilons);
  const last = shape.length - 1;
  const rotated = shape.slice(0, -1).map((_, mode) => directionCount(shape, mode, directions));
  const masks = ranks.map(
    (own, option) => [`mask.${String(option)}`, keptRows(rotated, own)] as const,
  );
  await stage.run(executor, 'perplexity', { x, g, ...Object.fromEntries(masks) });
  const [square] = await stage.read(executor, 'perplexity.total');
  const full = await stage.read(executor, 'perplexity.full');
  const errors = await read('perplexity.error', ranks.length);
  const isWhole = knowsAll(shape, last, directions);
  return measuredInput(site, ranks, { total: square, full, errors, isWhole }, growth);
}

/** What measures the options of an input. */
export function optionGraphs(
  site: Site,
  epsilons: readonly number[],
  directions: number = MOST_DIRECTIONS,
): Readonly<Record<string, Graph>> {
  const { shape } = site.x.type;
  const count = optionCount(shape, epsilons.length, directions);
  return {
    modes: modesGraph(shape, directions),
    perplexity: perplexityGraph(site, count, directions),
  };
}

/** How many ranks `rankOptions` gives. */
function optionCount([first]: Shape, epsilons: number, directions: number): number {
  return directions < first ? epsilons : 2 * epsilons;
}

/** The sums of all batches behind the moments, and dL/dx of each batch. */
export async function addUp(options: MeasureOptions) {
  const { stage, part, weights, inputs, gradients, read } = options;
  const executor = await stage.load({ measure: measuringGraph({ part, sites: weights }) });
  writeParameters(stage, executor, part, read);
  const results: HostData[] = [];
  for (let batch = 0; batch < inputs.count; batch++) {
    await stage.run(executor, 'measure', { x: inputs.at(batch), dy: gradients[batch] });
    results.push(await stage.read(executor, 'measure.dx'));
  }
  const sums: MomentSums[] = [];
  for (const [index, site] of weights.entries()) {
    sums.push(await readSums(stage, executor, site, index));
  }
  return { sums, gradients: results };
}

/** The spectra of every weight; `sums` are taken from the front as they are done. */
async function measureWeights(
  options: MeasureOptions,
  sums: MomentSums[],
): Promise<readonly MeasuredWeight[]> {
  const { stage, weights, inputs, read } = options;
  const result: MeasuredWeight[] = [];
  if (weights.length === 0) return result;
  const executor = await stage.load(spectrumGraphs(options));
  for (const [index, site] of weights.entries()) {
    const at = String(index);
    const gram = await gramOf(stage, executor, `gram.${at}`, () => read(site.weight));
    await stage.run(executor, `plain.${at}`, { gram });
    const plain = spectrumOf(site, await stage.read(executor, `plain.${at}.energies`));
    const own = sums.shift();
    if (!own) {
      result.push({ plain, spectrum: plain, moments: null });
      continue;
    }
    const tokens = inputs.count * (elements(site.y.type.shape) / site.outputs);
    const bias = site.bias === null ? null : read(site.bias);
    const { metric, signal } = momentsOf(own, site, { tokens, bias, gram });
    await stage.run(executor, `data.${at}`, { metric, signal });
    const size = momentSize(site);
    const root = holdTriangle(await stage.read(executor, `data.${at}.root`), size);
    const spectrum = spectrumOf(site, await stage.read(executor, `data.${at}.energies`));
    const moments = { root, signal: holdTriangle(signal, size) };
    result.push({ plain, spectrum, moments });
  }
  return result;
}

/** What decomposes the weights, each in entries of its own. */
export function spectrumGraphs({
  weights,
  data,
}: Pick<MeasureOptions, 'weights' | 'data'>): Readonly<Record<string, Graph>> {
  const graphs: Record<string, Graph> = {};
  for (const [index, site] of weights.entries()) {
    const at = String(index);
    graphs[`gram.${at}`] = gramGraph(site.outputs, site.inputs);
    graphs[`plain.${at}`] = plainSpectrum(momentSize(site));
    if (data) graphs[`data.${at}`] = dataSpectrum(momentSize(site));
  }
  return graphs;
}

/** W Wᵀ, or Wᵀ W where O > I: by an entry of gramGraph. */
export async function gramOf(
  stage: Stage,
  executor: Executor,
  entry: string,
  weight: () => HostData,
): Promise<HostData> {
  stage.write(executor, `${entry}.weight`, weight());
  await stage.run(executor, entry, {});
  return stage.read(executor, `${entry}.gram`);
}

function spectrumOf({ weight, outputs, inputs }: Site, values: HostData): LayerSpectrum {
  // Rounding can leave a zero energy just below zero.
  const energies = Float64Array.from(values, (value) => Math.max(0, value));
  return { weight, outputs, inputs, energies };
}
