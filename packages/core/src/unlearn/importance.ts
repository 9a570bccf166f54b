/**
 * importance: how much each weight matters for a set of images, as a program.
 *
 * The importance of a weight θ is a mean of squared gradients, the diagonal of the Fisher information as
 * Selective Synaptic Dampening estimates it. With passes b = 1 … N over a set,
 *
 *   by labels     I = 1/N Σ_b (∂/∂θ mean cross-entropy of pass b)²
 *   label-free    I = 1/N Σ_b |∂/∂θ mean ‖f(x)‖² of pass b|,  f(x) the logits
 *
 * With passes of one image it is a mean over images, whatever their order. With larger passes the gradient
 * is a batch's mean before it is squared, so that I depends on the size of a batch and on what is in it.
 *
 * Two sets are compared: the images to forget, and a *base* (all images of training, or those that are
 * retained). The program has an entry for each size of pass of each set (a set that is no multiple of the
 * batch ends with a smaller pass), and `eval`, with which accuracy is measured before and after. A pass adds
 * to the states `importance.<set>.<parameter>`, each gradient as soon as it exists.
 *
 * The model is built for evaluation: running statistics are read and stay as they are.
 *
 * Planned bytes: 4·3P of parameters and states, P the elements of all parameters, and one pass.
 *
 * References: Foster, Schoepf & Brintrup, Fast machine unlearning without retraining through selective
 * synaptic dampening, AAAI 2024 (arXiv:2308.07707), eq. 3 and algorithm 1; Foster et al., Loss-free machine
 * unlearning, 2024 (arXiv:2402.19308), for the label-free form.
 */
import { backpropagate, type Seed } from '../autodiff.js';
import { compileGraphs, type ModelBuilder } from '../compile.js';
import { ConfigError } from '../errors.js';
import { isParameter, outputValues, parameters } from '../ir/graph.js';
import type { Graph, ModelGraph } from '../ir/graph.js';
import { mapLeaves } from '../ir/rewrite.js';
import type { BoundMethod } from '../methods/method.js';
import { accumulatePower } from '../ops/accumulate-power.js';
import { GraphBuilder } from '../ops/builder.js';
import { OPS } from '../ops/index.js';
import { scale } from '../ops/scale.js';
import { verify } from '../ir/verify.js';
import { narrow } from '../passes/narrow.js';
import { saveAs } from '../passes/saved.js';
import { simplify } from '../passes/simplify.js';
import { plan, type EntryGraph } from '../plan/plan.js';
import type { Program } from '../program.js';

/** The images to forget, and those that their importance is compared with. */
export const IMPORTANCE_SETS = ['forget', 'base'] as const;

/** A set of images whose importance is added up. */
export type ImportanceSet = (typeof IMPORTANCE_SETS)[number];

/** What the program that measures importance is compiled for. */
export interface ImportanceOptions {
  /** Without label smoothing. */
  readonly model: ModelBuilder;
  /** Gives the weights their form; of a factored weight, both sides have an importance. */
  readonly method: BoundMethod;
  /** Images whose mean gradient is squared: 1 for the importance of single images. */
  readonly pass: number;
  /** Images of one evaluation. */
  readonly evalBatch: number;
  /** By the squared norm of the logits instead of the loss. */
  readonly labelFree: boolean;
  /** Images of each set. */
  readonly images: Readonly<Record<ImportanceSet, number>>;
}

/** The state that holds the sum of a parameter's importance over the passes. */
export function importanceName(set: ImportanceSet, parameter: string): string {
  return `importance.${set}.${parameter}`;
}

/** The entry that takes `images` images of a set. */
export function importanceEntry(set: ImportanceSet, images: number): string {
  return `${set}.${String(images)}`;
}

/** Images of the passes over a set of `images`: whole ones, and what is left. */
export function passSizes(images: number, pass: number): readonly number[] {
  const whole = images >= pass ? [pass] : [];
  return images % pass > 0 ? [...whole, images % pass] : whole;
}

/** Compiles the program. Throws ConfigError for an empty set or an impossible size. */
export function importanceProgram(options: ImportanceOptions): Program {
  const { model, method, pass, evalBatch, images } = options;
  checkSizes(options);
  const evaluation = compileGraphs({ model, method, batch: evalBatch });
  const passes = IMPORTANCE_SETS.flatMap((set) =>
    passSizes(images[set], pass).map((size): EntryGraph => {
      const graph = simplify(importanceGraph(options, set, size));
      verify(graph, OPS);
      return { name: importanceEntry(set, size), graph };
    }),
  );
  return plan([...evaluation, ...passes]);
}

/** Forward and backward pass over `size` images that add to the states of `set`. */
export function importanceGraph(
  { model, method, labelFree }: Pick<ImportanceOptions, 'model' | 'method' | 'labelFree'>,
  set: ImportanceSet,
  size: number,
): Graph {
  const whole = method.forward(model(size, 'eval'));
  const narrowed = narrow(everythingTrainable(whole), new Set());
  const seeded = labelFree ? seedOfNorm(narrowed.graph, size) : seedOfLoss(narrowed.graph);
  const wanted = parameters(seeded.graph);
  const { graph, gradients } = backpropagate(seeded.graph, [seeded.seed], wanted);
  const train = saveAs('exact', { graph, gradients: new Map() }, narrowed.blocks);
  const builder = new GraphBuilder(train.graph);
  for (const { id, name, type } of wanted) {
    const gradient = gradients.get(id);
    if (gradient === undefined) continue; // nothing of the loss flows through it: it does not matter
    const acc = builder.state(importanceName(set, name), type);
    const x = builder.value(gradient);
    builder.emit(accumulatePower, { acc, x }, { power: labelFree ? 1 : 2 }, `importance.${name}`);
  }
  return builder.build({});
}

interface Seeded {
  readonly graph: Graph;
  readonly seed: Seed;
}

/** d loss / d loss = 1. */
function seedOfLoss(graph: Graph): Seeded {
  const builder = new GraphBuilder(graph);
  const { loss, ...others } = outputValues(graph);
  const seed = builder.constant(loss.type, 1);
  return { graph: builder.build({ ...others, loss }), seed: { of: loss, seed } };
}

/** d/dz of 1/B Σ_b ‖z_b‖² for the logits z: 2/B z. */
function seedOfNorm(graph: Graph, size: number): Seeded {
  const { logits } = outputValues(graph);
  const builder = new GraphBuilder({ ...graph, outputs: { logits: logits.id } });
  const seed = builder.emit(scale, { x: logits }, { factor: 2 / size }, 'grad.norm').y;
  return { graph: builder.build({ logits }), seed: { of: logits, seed } };
}

/** Forgetting asks of every weight how much it matters, also of those that did not train. */
function everythingTrainable(model: ModelGraph): ModelGraph {
  const graph = mapLeaves(model.graph, (leaf) =>
    isParameter(leaf) ? { ...leaf, source: { ...leaf.source, trainable: true } } : leaf,
  );
  return { ...model, graph };
}

function checkSizes({ pass, images }: ImportanceOptions): void {
  const fail = (where: string, expected: string, got: number, todo: string) =>
    new ConfigError({ where, expected, got: String(got), todo });
  if (!(Number.isSafeInteger(pass) && pass >= 1)) {
    throw fail(
      'images of which the gradient is squared',
      'a whole number ≥ 1',
      pass,
      'Change the batch',
    );
  }
  for (const set of IMPORTANCE_SETS) {
    if (Number.isSafeInteger(images[set]) && images[set] >= 1) continue;
    const where = set === 'forget' ? 'images to forget' : 'images to compare with';
    throw fail(where, 'at least one', images[set], 'Forget fewer of the images, or others');
  }
}
