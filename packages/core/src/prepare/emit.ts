/**
 * emit: starting values of a factored model, one tensor at a time. Weights that are to be factored are read,
 * decomposed and written block by block, so no more than one block of them is in memory; every other
 * parameter is written as `loadWeights` writes it.
 */
import type { HostData } from '../executors/executor.js';
import { parameters, type ModelGraph } from '../ir/graph.js';
import type { WeightMatch } from '../train/weights.js';
import { factorGraph } from './factor.js';
import { momentSize, unpack, type Moments } from './moments.js';
import type { Site } from './sites.js';
import type { Stage } from './stage.js';

/** A weight to be factored. */
export interface FactoredSite {
  readonly site: Site;
  readonly rank: number;
  /** Upper triangles; null for plain truncation. */
  readonly moments: Moments | null;
}

/** The factored weights of one part. */
export interface FactoredPart {
  readonly name: string;
  readonly sites: readonly FactoredSite[];
}

export interface EmitOptions {
  readonly stage: Stage;
  /** The factored model. */
  readonly model: ModelGraph;
  /** Of the dense model. */
  readonly match: WeightMatch;
  /** Taken from the front as they are done, so that their moments are not kept. */
  readonly parts: FactoredPart[];
  readonly onPart: (part: FactoredPart) => void;
}

/** Hands every parameter of the factored model to `write`. */
export async function emitFactored(
  options: EmitOptions,
  write: (name: string, data: HostData) => void,
): Promise<void> {
  const { model, match, parts, onPart } = options;
  const all = parameters(model.graph);
  const names = new Map<string, string>();
  for (const { name, source } of all) {
    const { factor } = source;
    if (factor?.form === 'low-rank') names.set(`${factor.weight} ${factor.side}`, name);
    else write(name, match.read(name));
  }
  for (let part = parts.shift(); part; part = parts.shift()) {
    await emitPart(options, part, (weight, side, data) => {
      const name = names.get(`${weight} ${side}`);
      if (name === undefined) throw new Error(`no factors of ${weight} in the model`);
      write(name, data);
      names.delete(`${weight} ${side}`);
    });
    onPart(part);
  }
  if (names.size > 0) throw new Error(`no ranks for ${[...names.keys()].join(', ')}`);
}

async function emitPart(
  { stage, match }: EmitOptions,
  { sites }: FactoredPart,
  write: (weight: string, side: 'left' | 'right', data: HostData) => void,
): Promise<void> {
  const data = sites.some(({ moments }) => moments !== null);
  const shapes = sites.map(({ site: { outputs, inputs }, rank }) => ({ outputs, inputs, rank }));
  const executor = await stage.load({ factor: factorGraph(shapes, data) });
  for (const [index, { site, moments }] of sites.entries()) {
    const set = (what: string, value: HostData) => {
      executor.write(`factor.${what}.${String(index)}`, value);
    };
    set('weight', match.read(site.weight));
    if (!moments) continue;
    set('metric', unpack(moments.metric, momentSize(site)));
    set('signal', unpack(moments.signal, momentSize(site)));
  }
  await stage.run(executor, 'factor', {});
  for (const [index, { site, rank }] of sites.entries()) {
    const left = await executor.read(`factor.left.${String(index)}`);
    write(site.weight, 'left', transposed(left, rank, site.outputs));
    write(site.weight, 'right', await executor.read(`factor.right.${String(index)}`));
  }
}

/** [rows, cols] → [cols, rows] */
function transposed(data: HostData, rows: number, cols: number): HostData {
  const result = data.slice();
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) result[c * rows + r] = data[r * cols + c];
  }
  return result;
}
