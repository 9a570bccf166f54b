/**
 * The Method contract: a training method is a set of pure transforms of graphs, and what goes with them.
 *
 *   probe     what to measure on the user's data before anything is compiled; `with` takes what was found
 *   forward   model graph → model graph      forms of weights, adapters, masks, what trains
 *   backward  train graph → train graph      form of saved tensors, form of the gradients
 *   rule      how a parameter is updated, where that is not the optimiser's own affair; `rate` how fast
 *   after     graph → graph                  nodes behind the updates of a step
 *   entries   graphs that run by themselves when their cue comes: once, every k steps, every epoch
 *   phases    other configurations from an epoch on: another program, with the tensors carried over
 *   neutral   the configuration at which the method must equal plain training, or null
 *
 * All but the names and `parse` may be left out. `claims` and `holds` say what a method takes for itself, so
 * that two that do not go together are refused by name.
 *
 * Each method's header states the elements that its gradients read of the forward pass, 4 bytes each,
 * as a closed form that the contract test checks: what is saved unless it is recomputed or kept in
 * 8 bits (passes/saved.ts). Legend: B batch, N tokens, M patches of P values, D
 * width, H heads, R MLP ratio, L depth, C classes. The logits are outputs of the step and count as
 * such.
 *
 * Work outside of the step (scores, ranks, decompositions) is a host function or a program of its
 * own that returns the configuration; it never hides in the training loop.
 */
import type { Graph, ModelGraph, Parameter, TrainGraph } from '../ir/graph.js';
import type { HostData } from '../ir/types.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { RateGroup, UpdateRule } from '../optim/rule.js';
import type { SavedForm } from '../passes/saved.js';
import type { Cue } from '../program.js';
import type { Found, Probe } from './found.js';

/** A training method: pure transforms of graphs for a configuration C, all optional. */
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
  /** What a budget may still choose; absent: nothing. */
  options?(config: C): readonly OpenOption<C>[];
  /** What should be measured before training; absent or null: nothing. */
  probe?(config: C): Probe | null;
  /** The configuration with what was found. */
  with?(config: C, found: Found): C;
  /** With what `model` would be compiled: what was found, or what is typical. `model` as in `backward`. */
  findings?(model: ModelGraph, config: C): Found;
  /** What the method takes of `model`, as the methods before it have made it and before its own `forward`. */
  claims?(model: ModelGraph, config: C): Claims;
  /**
   * The linears, by their weights' names, whose saved input `backward` holds in a form of its own; such an
   * input keeps all tokens. `model` as in `backward`.
   */
  holds?(model: ModelGraph, config: C): readonly string[];
  /**
   * Weights whose gradient `backward` makes in parts of its own, from the input as it is; so nobody else may
   * hold that in another form. `model` as in `backward`.
   */
  parts?(model: ModelGraph, config: C): readonly string[];
  /** The model with the forms that its weights take, and its choice of what trains; absent: as it is. */
  forward?(model: ModelGraph, config: C): ModelGraph;
  /** `model` is what `forward` of all methods returned. */
  backward?(train: TrainGraph, model: ModelGraph, config: C): TrainGraph;
  /** null: the optimiser's own rule. `model` as in `backward`. */
  rule?(parameter: Parameter, model: ModelGraph, config: C): UpdateRule | null;
  /** null: the rate of the schedule. `model` as in `backward`. */
  rate?(parameter: Parameter, model: ModelGraph, config: C): RateGroup | null;
  /** `graph` is a step, or the application of summed gradients, with its updates. */
  after?(graph: Graph, config: C): Graph;
  /** `model` as in `backward`; `optimizer` is the step's, whose states an entry may reset. */
  entries?(model: ModelGraph, config: C, optimizer: Optimizer): readonly MethodEntry[];
  /** What follows on the configuration itself, which is the first phase; by rising epochs. */
  phases?(config: C): readonly MethodPhase<C>[];
  /** The form of saved tensors that goes with the method where none is asked for; absent: exact. */
  readonly saved?: SavedForm;
  /** The configuration for `model` at which training equals `full`; null when there is none. */
  neutral(model: ModelGraph): { readonly config: C } | null;
}

/** What a budget gives up, first to last: parts of updates, of saved inputs, of weights. */
export const OPTION_AXES = ['updates', 'activations', 'weights'] as const;

/** What a budget gives up by choosing an option. */
export type OptionAxis = (typeof OPTION_AXES)[number];

/** A number that the user has not said. */
export interface OpenOption<C> {
  readonly axis: OptionAxis;
  /** From generous to frugal; the first is the configuration's own. */
  readonly values: readonly number[];
  /** The configuration with one of the values. */
  choose(value: number): C;
}

/**
 * What a method takes for itself: nobody else may have it. All are names of tensors in the dense model.
 */
export interface Claims {
  /** Weights whose form it sets. */
  readonly forms?: readonly string[];
  /** Parameters that it updates by a rule of its own. */
  readonly updates?: readonly string[];
}

/** A graph that becomes an entry of the program. */
export interface MethodEntry {
  readonly name: string;
  /** May read the inputs `images` and `labels` of the batch at hand, `seed` and `count` (see program.ts). */
  readonly graph: Graph;
  readonly cue: Cue;
}

/** Another configuration from an epoch on. */
export interface MethodPhase<C> {
  /** The first epoch of the phase, from 2; it is compiled to a program of its own. */
  readonly from: number;
  readonly config: C;
  /**
   * How a persistent tensor of the phase before crosses over; absent: as it is, where both programs have it.
   */
  readonly carry?: Carry;
}

/** The new contents of a tensor; null: it starts as at the beginning of a run. */
export type Carry = (name: string, data: HostData) => HostData | null;

/** A method with its configuration, ready for `compile`. */
export interface BoundMethod {
  readonly name: string;
  /** `last-k=2`: what reproduces it through `parseMethod`. */
  readonly text: string;
  /** In the order of OPTION_AXES. */
  readonly options: readonly BoundOption[];
  readonly probe: Probe | null;
  /** The method with what was found: ranks, for instance. */
  with(found: Found): BoundMethod;
  /** With what `model` would be compiled: what was found, or what is typical. */
  findings(model: ModelGraph): Found;
  /** What the method takes of `model` for itself. */
  claims(model: ModelGraph): Claims;
  /** The weights of linears whose saved input `backward` holds in a form of its own. */
  holds(model: ModelGraph): readonly string[];
  /** Weights whose gradient `backward` makes in parts of its own. */
  parts(model: ModelGraph): readonly string[];
  /** The model with the forms that its weights take, and the choice of what trains. */
  forward(model: ModelGraph): ModelGraph;
  /** `model` is what `forward` returned. */
  backward(train: TrainGraph, model: ModelGraph): TrainGraph;
  /** How a parameter is updated; null: by the optimiser’s own rule. */
  rule(parameter: Parameter, model: ModelGraph): UpdateRule | null;
  /** How fast a parameter is updated; null: at the rate of the schedule. */
  rate(parameter: Parameter, model: ModelGraph): RateGroup | null;
  /** The graph of a step with what runs behind its updates. */
  after(graph: Graph): Graph;
  /** Graphs that run by themselves when their cue comes. */
  entries(model: ModelGraph, optimizer: Optimizer): readonly MethodEntry[];
  readonly phases: readonly BoundPhase[];
  /** What `compile` takes where no form is asked for; null: exact. */
  readonly saved: SavedForm | null;
}

/** A number that a budget may choose; see `OpenOption`. */
export interface BoundOption {
  readonly axis: OptionAxis;
  readonly values: readonly number[];
  /** The method with one of the values. */
  choose(value: number): BoundMethod;
}

/** The method from an epoch on; see `MethodPhase`. */
export interface BoundPhase {
  readonly from: number;
  readonly method: BoundMethod;
  readonly carry?: Carry;
}

/** A method with its configuration, in the form that `compile` takes. */
export function bind<C>(method: Method<C>, config: C): BoundMethod {
  const rebound = (changed: C) => bind(method, changed);
  return {
    name: method.name,
    text: method.print(config),
    options: byAxis(method.options?.(config) ?? []).map(({ axis, values, choose }) => ({
      ...{ axis, values },
      choose: (value) => rebound(choose(value)),
    })),
    probe: method.probe?.(config) ?? null,
    with: (found) => rebound(method.with?.(config, found) ?? config),
    findings: (model) => method.findings?.(model, config) ?? {},
    claims: (model) => method.claims?.(model, config) ?? {},
    holds: (model) => method.holds?.(model, config) ?? [],
    parts: (model) => method.parts?.(model, config) ?? [],
    forward: (model) => method.forward?.(model, config) ?? model,
    backward: (train, model) => method.backward?.(train, model, config) ?? train,
    rule: (parameter, model) => method.rule?.(parameter, model, config) ?? null,
    rate: (parameter, model) => method.rate?.(parameter, model, config) ?? null,
    after: (graph) => method.after?.(graph, config) ?? graph,
    entries: (model, optimizer) => method.entries?.(model, config, optimizer) ?? [],
    phases: (method.phases?.(config) ?? []).map((phase) => ({
      ...phase,
      method: rebound(phase.config),
    })),
    saved: method.saved ?? null,
  };
}

/** Options in the order in which a budget gives them up. */
export function byAxis<O extends { readonly axis: OptionAxis }>(
  options: readonly O[],
): readonly O[] {
  return OPTION_AXES.flatMap((axis) => options.filter((option) => option.axis === axis));
}
