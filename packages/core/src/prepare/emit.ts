/**
 * emit: starting values of a factored model, one tensor at a time. Weights that are to be factored are read,
 * decomposed and written one by one, so no more than one of them is in memory; every other parameter is
 * written as `loadWeights` writes it.
 */
import { InternalError } from '../errors.js';
import type { HostData } from '../executors/executor.js';
import { checkpointed, isParameter, type Graph, type ModelGraph } from '../ir/graph.js';
import type { WeightMatch } from '../train/weights.js';
import { dataDirections, factorGraph, gramGraph, plainDirections } from './factor.js';
import { triangleOf } from './held.js';
import { gramOf } from './measure.js';
import { momentSize, type HeldMoments } from './moments.js';
import type { Site } from './sites.js';
import type { Stage } from './stage.js';

/** A weight to be factored. */
export interface FactoredSite {
  readonly site: Site;
  readonly rank: number;
  /** null for plain truncation. */
  readonly moments: HeldMoments | null;
}

/** The factored weights of one part. */
export interface FactoredPart {
  readonly name: string;
  /** Taken from the front as they are done, so that their moments are not kept. */
  readonly sites: FactoredSite[];
}

export interface EmitOptions {
  readonly stage: Stage;
  /** The factored model. */
  readonly model: ModelGraph;
  /** Of the dense model. */
  readonly match: WeightMatch;
  /** Taken from the front as they are done. */
  readonly parts: FactoredPart[];
  readonly onPart: (part: FactoredPart) => void;
}

/** Hands every parameter and buffer of the factored model to `write`. */
export async function emitFactored(
  options: EmitOptions,
  write: (name: string, data: HostData) => void,
): Promise<void> {
  const { model, match, parts, onPart } = options;
  const names = new Map<string, string>();
  for (const value of checkpointed(model.graph)) {
    const { name } = value;
    const factor = isParameter(value) ? value.source.factor : undefined;
    if (factor?.form === 'low-rank') names.set(`${factor.weight} ${factor.side}`, name);
    else write(name, match.contents(name));
  }
  for (let part = parts.shift(); part; part = parts.shift()) {
    for (let site = part.sites.shift(); site; site = part.sites.shift()) {
      const { weight } = site.site;
      await emitSite(options, site, (side, data) => {
        const name = names.get(`${weight} ${side}`);
        if (name === undefined) throw InternalError.of(weight, 'factors in the model', 'none');
        write(name, data);
        names.delete(`${weight} ${side}`);
      });
    }
    onPart(part);
  }
  if (names.size > 0) throw InternalError.of([...names.keys()].join(', '), 'ranks', 'none');
}

async function emitSite(
  { stage, match }: EmitOptions,
  { site, rank, moments }: FactoredSite,
  write: (side: 'left' | 'right', data: HostData) => void,
): Promise<void> {
  const { weight, outputs } = site;
  const size = momentSize(site);
  const executor = await stage.load(factorGraphs(site, rank, moments !== null));
  if (moments) {
    const root = triangleOf(moments.root, size, false);
    await stage.run(executor, 'directions', {
      root,
      signal: triangleOf(moments.signal, size, true),
    });
  } else {
    const gram = await gramOf(stage, executor, 'gram', () => match.read(weight));
    await stage.run(executor, 'directions', { gram });
  }
  const near = await stage.read(executor, 'directions.near');
  const far = moments ? { far: await stage.read(executor, 'directions.far') } : {};
  stage.write(executor, 'factor.weight', match.read(weight));
  await stage.run(executor, 'factor', { near, ...far });
  write('left', transposed(await stage.read(executor, 'factor.left'), rank, outputs));
  write('right', await stage.read(executor, 'factor.right'));
}

/** What factors a weight. */
export function factorGraphs(
  site: Site,
  rank: number,
  data: boolean,
): Readonly<Record<string, Graph>> {
  const { outputs, inputs } = site;
  const size = momentSize(site);
  const factor = factorGraph({ outputs, inputs, rank }, data);
  return data
    ? { directions: dataDirections(size, rank), factor }
    : { gram: gramGraph(outputs, inputs), directions: plainDirections(size, rank), factor };
}

/** [rows, cols] → [cols, rows] */
function transposed(data: HostData, rows: number, cols: number): HostData {
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) result[c * rows + r] = data[r * cols + c];
  }
  return result;
}
