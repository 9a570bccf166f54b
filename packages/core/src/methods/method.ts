/**
 * The Method contract: a training method is two pure graph transforms and a neutral point.
 *
 *   forward   model graph → model graph      weight forms, adapters, masks, what trains
 *   backward  train graph → train graph      form of saved tensors, form of the gradients
 *   neutral   the configuration at which the method must equal plain training, or null
 *
 * Each method's header states the elements that it saves for the backward pass, 4 bytes each, as a
 * closed form that the contract test checks. Legend: B batch, N tokens, M patches of P values, D
 * width, H heads, R MLP ratio, L depth, C classes. The logits are outputs of the step and count as
 * such.
 *
 * Work outside of the step (scores, ranks, decompositions) is a host function or a program of its
 * own that returns the configuration; it never hides in the training loop.
 */
import { isParameter, type ModelGraph, type TrainGraph, type Value } from '../ir/graph.js';
import { mapLeaves } from '../ir/rewrite.js';

export interface Method<C> {
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  /** How the option is written: `last-k=K`. */
  readonly usage: string;
  /**
   * Reads the text behind `=` in `name=text`; undefined when there is none. Throws ConfigError.
   */
  parse(text: string | undefined): C;
  /** The option text that `parse` reads back to the same configuration. */
  print(config: C): string;
  forward?(model: ModelGraph, config: C): ModelGraph;
  backward?(train: TrainGraph, config: C): TrainGraph;
  /** The configuration for `model` at which training equals `full`; null when there is none. */
  neutral(model: ModelGraph): { readonly config: C } | null;
}

/** A method with its configuration, ready for `compile`. */
export interface BoundMethod {
  readonly name: string;
  /** `last-k=2`: what reproduces it through `parseMethod`. */
  readonly text: string;
  forward(model: ModelGraph): ModelGraph;
  backward(train: TrainGraph): TrainGraph;
}

export function bind<C>(method: Method<C>, config: C): BoundMethod {
  return {
    name: method.name,
    text: method.print(config),
    forward: (model) => method.forward?.(model, config) ?? model,
    backward: (train) => method.backward?.(train, config) ?? train,
  };
}

/** The model with exactly the parameters that `trains` names trainable. */
export function trainOnly(model: ModelGraph, trains: (name: string) => boolean): ModelGraph {
  const mark = (leaf: Value): Value =>
    isParameter(leaf)
      ? { ...leaf, source: { ...leaf.source, trainable: trains(leaf.name) } }
      : leaf;
  return { ...model, graph: mapLeaves(model.graph, mark) };
}
