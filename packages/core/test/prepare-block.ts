/** One block of a small ViT with random weights, and what its linears see, in float64. */
import type { HostData } from '../src/executors/executor.js';
import { referenceExecutor } from '../src/executors/reference/index.js';
import { elements, type Shape } from '../src/ir/types.js';
import { linears } from '../src/methods/linears.js';
import { backwardPart } from '../src/prepare/backward.js';
import { sitedParts } from '../src/prepare/sites.js';
import { Stage, writeParameters } from '../src/prepare/stage.js';
import { Random } from '../src/random.js';
import { modelOf, randomWeights, SMALL } from './tiny-vit.js';

export const BATCH = 3;

export interface Tensor {
  readonly shape: Shape;
  readonly data: Float64Array;
}

const model = modelOf(SMALL)(BATCH);
const weights = randomWeights(model);

/** N = 10, D = 12: linears of 36×12, 12×12, 48×12, 12×48. */
export const BLOCK = sitedParts(model, linears(model, 'all'))[2];

/** Input and output gradient of the block, by batch. */
export function pass(seed: number): { readonly x: Float32Array; readonly dy: Float32Array } {
  const random = Random.of(seed, 'pass');
  const x = random.fillNormal(new Float32Array(elements(BLOCK.part.x.type.shape)));
  return { x, dy: random.fillNormal(new Float32Array(elements(BLOCK.part.y.type.shape))) };
}

/** The checkpoint. */
export function read(name: string): Float32Array {
  return weights.get(name) ?? new Float32Array();
}

/** x and g = dL/dy of every linear of the block, from a pass that gives them as outputs. */
export async function seenBy({ part, sites }: typeof BLOCK, x: HostData, dy: HostData) {
  const { graph, gradient } = backwardPart(
    part,
    sites.map((site) => site.y),
  );
  const outputs: Record<string, number> = {};
  sites.forEach((site, index) => {
    outputs[`x${String(index)}`] = site.x.id;
    outputs[`g${String(index)}`] = gradient(site.y).id;
  });
  const stage = new Stage({ kind: referenceExecutor, threads: 1 });
  const executor = await stage.load({ run: { ...graph, outputs } });
  writeParameters(stage, executor, part, read);
  await stage.run(executor, 'run', { x, dy });
  const tensors = [];
  for (const [index, site] of sites.entries()) {
    const read = async (name: string, shape: Shape): Promise<Tensor> => ({
      shape,
      data: Float64Array.from(await executor.read(`run.${name}${String(index)}`)),
    });
    tensors.push({ x: await read('x', site.x.type.shape), g: await read('g', site.y.type.shape) });
  }
  return tensors;
}
