/**
 * The Method contract: a training method is two pure graph transforms and a neutral point.
 *
 *   forward   model graph → model graph      weight forms, adapters, masks, what trains
 *   backward  train graph → train graph      form of saved tensors, form of the gradients
 *   neutral   the configuration at which the method must equal plain training, or null
 *
 * Each method's header states the elements that its gradients read of the forward pass, 4 bytes each,
 * as a closed form that the contract test checks: what is saved unless it is computed again or kept in
 * 8 bits (passes/saved.ts). Legend: B batch, N tokens, M patches of P values, D
 * width, H heads, R MLP ratio, L depth, C classes. The logits are outputs of the step and count as
 * such.
 *
 * Work outside of the step (scores, ranks, decompositions) is a host function or a program of its
 * own that returns the configuration; it never hides in the training loop.
 */
import { ConfigError } from '../errors.js';
import { isParameter } from '../ir/graph.js';
import type { Graph, ModelGraph, TrainGraph, Value } from '../ir/graph.js';
import { mapLeaves } from '../ir/rewrite.js';
import type { SavedForm } from '../passes/saved.js';
import type { RankNeeds, Ranks } from './ranks.js';

export interface Method<C> {
  readonly name: string;
  /** One sentence for `--help`. */
  readonly summary: string;
  /** How the option is written: `last-k=K`. */
  readonly usage: string;
  /** Keys of the option text behind its leading value (`layers` in `wasi=0.8,layers=all`). */
  readonly keys?: readonly string[];
  /**
   * Reads the text behind `=` in `name=text`; undefined when there is none. Throws ConfigError.
   */
  parse(text: string | undefined): C;
  /** The option text that `parse` reads back to the same configuration. */
  print(config: C): string;
  forward?(model: ModelGraph, config: C): ModelGraph;
  /** `model` is what `forward` of all methods returned. */
  backward?(train: TrainGraph, model: ModelGraph, config: C): TrainGraph;
  /**
   * Forward graph that sets the method's states from a first batch, run once before training; null
   * when there is nothing to set.
   */
  start?(model: ModelGraph, config: C): Graph | null;
  /** The ranks that should be found before training; absent: none. */
  needs?(config: C): RankNeeds;
  /** The configuration with the ranks found. */
  withRanks?(config: C, ranks: Ranks): C;
  /** The form of saved tensors that goes with the method where none is asked for; absent: exact. */
  readonly saved?: SavedForm;
  /** Tucker ranks that `backward` uses: found ones or typical ones. `model` as in `backward`. */
  activationRanks?(model: ModelGraph, config: C): Ranks['activations'];
  /** The configuration for `model` at which training equals `full`; null when there is none. */
  neutral(model: ModelGraph): { readonly config: C } | null;
}

/** A method with its configuration, ready for `compile`. */
export interface BoundMethod {
  readonly name: string;
  /** `last-k=2`: what reproduces it through `parseMethod`. */
  readonly text: string;
  forward(model: ModelGraph): ModelGraph;
  /** `model` is what `forward` returned. */
  backward(train: TrainGraph, model: ModelGraph): TrainGraph;
  start(model: ModelGraph): Graph | null;
  readonly needs: RankNeeds;
  withRanks(ranks: Ranks): BoundMethod;
  /** What `compile` takes where no form is asked for; null: exact. */
  readonly saved: SavedForm | null;
  /** Found or typical; none for methods that compress no activation. */
  activationRanks(model: ModelGraph): Ranks['activations'];
}

export function bind<C>(method: Method<C>, config: C): BoundMethod {
  return {
    name: method.name,
    text: method.print(config),
    forward: (model) => method.forward?.(model, config) ?? model,
    backward: (train, model) => method.backward?.(train, model, config) ?? train,
    start: (model) => method.start?.(model, config) ?? null,
    needs: method.needs?.(config) ?? { weights: null, activations: null },
    withRanks: (ranks) => bind(method, method.withRanks?.(config, ranks) ?? config),
    saved: method.saved ?? null,
    activationRanks: (model) => method.activationRanks?.(model, config) ?? {},
  };
}

/**
 * Methods one after the other: `last-k=4+wasi=0.8` trains four blocks and factors what trains.
 * `forward` and `backward` run in the given order. Throws ConfigError when two of them factor the
 * same axis or set states.
 */
export function compose(methods: readonly BoundMethod[]): BoundMethod {
  if (methods.length === 1) return methods[0];
  const text = methods.map((method) => method.text).join('+');
  const only = <T>(what: string, pick: (method: BoundMethod) => T | null): T | null => {
    const found = methods.map(pick).filter((need) => need !== null);
    if (found.length <= 1) return found[0] ?? null;
    throw new ConfigError({
      where: `method ${text}`,
      expected: `at most one method that factors ${what}`,
      got: String(found.length),
      todo: 'Leave one out',
    });
  };
  const needs = {
    weights: only('weights', (method) => method.needs.weights),
    activations: only('activations', (method) => method.needs.activations),
  };
  return {
    name: methods.map((method) => method.name).join('+'),
    text,
    forward: (model) => methods.reduce((graph, method) => method.forward(graph), model),
    backward: (train, model) =>
      methods.reduce((graph, method) => method.backward(graph, model), train),
    start: (model) => methods.map((method) => method.start(model)).find((graph) => graph) ?? null,
    needs,
    withRanks: (ranks) => compose(methods.map((method) => method.withRanks(ranks))),
    saved: methods.map((method) => method.saved).find((form) => form !== null) ?? null,
    activationRanks: (model) =>
      methods.reduce<Ranks['activations']>(
        (ranks, method) => ({ ...ranks, ...method.activationRanks(model) }),
        {},
      ),
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
