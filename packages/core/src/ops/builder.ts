/**
 * Builds graphs: declares leaves, emits nodes through each op's shape rule, keeps names unique.
 *
 * Node names come from the scope (`blocks.0.mlp`) and the given name; a value is called
 * `<node>.<output>`. Everything that writes graphs (layers, models, autodiff, optimisers, methods) does it
 * through this class, so a graph that was built is a graph that verifies.
 */
import type {
  Factor,
  Graph,
  Initial,
  Node,
  Operands,
  Parameter,
  Params,
  Source,
  StateOf,
  Value,
  ValueId,
} from '../ir/graph.js';
import { EMPTY_GRAPH } from '../ir/graph.js';
import type { HostArray } from '../ir/host.js';
import { sameType, type TensorType } from '../ir/types.js';
import { GraphError } from '../errors.js';
import type { Bag, Emitter, Op } from './op.js';

/** Options of a parameter; trainable with weight decay unless told otherwise. */
export interface ParameterOptions {
  readonly initial: Initial;
  readonly trainable?: boolean;
  readonly decay?: boolean;
  readonly factor?: Factor;
}

export class GraphBuilder implements Emitter {
  private readonly values: Value[];
  private readonly nodes: Node[];
  private readonly valueNames: Set<string>;
  private readonly nodeNames: Set<string>;
  private scopes: readonly string[] = [];

  /** Continues `graph`, whose values keep their ids. */
  constructor(graph: Graph = EMPTY_GRAPH) {
    this.values = [...graph.values];
    this.nodes = [...graph.nodes];
    this.valueNames = new Set(graph.values.map((value) => value.name));
    this.nodeNames = new Set(graph.nodes.map((node) => node.name));
  }

  /** Runs `body` with `name` appended to the scope of the names it gives. */
  scope<T>(name: string, body: () => T): T {
    const outer = this.scopes;
    this.scopes = [...outer, name];
    try {
      return body();
    } finally {
      this.scopes = outer;
    }
  }

  /** `name` inside the current scope: `blocks.0.` + name. */
  scoped(name: string): string {
    return [...this.scopes, name].join('.');
  }

  /** Declares a value that the host writes before every run. */
  input(name: string, type: TensorType): Value {
    return this.leaf(name, type, { kind: 'input' });
  }

  /** A weight, named within the current scope as in checkpoints. */
  parameter(name: string, type: TensorType, options: ParameterOptions): Parameter {
    const { initial, trainable = true, decay = true, factor } = options;
    const side = factor ? { factor } : {};
    const source = { kind: 'parameter', trainable, decay, initial, ...side } as const;
    return { ...this.leaf(this.scoped(name), type, source), source };
  }

  /** What the model keeps beside its weights, named within the current scope as in checkpoints. */
  buffer(name: string, type: TensorType, initial: Initial): Value {
    return this.leaf(this.scoped(name), type, { kind: 'buffer', initial });
  }

  /** A tensor that lives across steps and starts at zero. */
  state(name: string, type: TensorType, of: StateOf = 'optimizer'): Value {
    return this.leaf(name, type, { kind: 'state', of });
  }

  /** The state of that name, which is declared where the graph does not have it yet. */
  knownState(name: string, type: TensorType): Value {
    const isKnown = (value: Value) =>
      value.name === name && value.source.kind === 'state' && sameType(value.type, type);
    return this.values.find(isKnown) ?? this.state(name, type);
  }

  constant(type: TensorType, fill: number): Value {
    return this.leaf(this.unique('constant', this.valueNames), type, { kind: 'constant', fill });
  }

  table(name: string, type: TensorType, data: HostArray): Value {
    return this.leaf(this.unique(this.scoped(name), this.valueNames), type, {
      kind: 'table',
      data,
    });
  }

  /** Appends a node within the current scope; its outputs by name. Throws ShapeError where operands do not fit. */
  emit<P extends Params, I extends string, OI extends string, O extends string, OO extends string>(
    op: Op<P, I, OI, O, OO>,
    inputs: Bag<NoInfer<I>, NoInfer<OI>, Value>,
    params: P,
    name: string = op.name,
  ): Bag<O, OO, Value> {
    const nodeName = this.unique(this.scoped(name), this.nodeNames);
    const types = mapBag<I, OI, Value, TensorType>(inputs, (value) => value.type);
    const outputs = mapBag<O, OO, TensorType, Value>(
      op.infer(types, params, nodeName),
      (type, key) => this.add(`${nodeName}.${key}`, type, { kind: 'node' }),
    );
    this.nodeNames.add(nodeName);
    this.nodes.push({
      name: nodeName,
      op: op.name,
      params,
      inputs: idsOf(inputs),
      outputs: idsOf(outputs),
    });
    return outputs;
  }

  /** Nodes so far. */
  get nodeCount(): number {
    return this.nodes.length;
  }

  /** A value by its id. */
  value(id: ValueId): Value {
    return this.values[id];
  }

  /** The graph so far, with the results that the host reads. */
  build(outputs: Readonly<Record<string, Value>>): Graph {
    return { values: [...this.values], nodes: [...this.nodes], outputs: idsOf(outputs) };
  }

  private leaf(name: string, type: TensorType, source: Source): Value {
    if (!this.valueNames.has(name)) return this.add(name, type, source);
    throw new GraphError({
      where: `${source.kind} ${name}`,
      expected: 'a name that is not taken',
      got: 'a second leaf of that name',
      todo: 'Give the layer its own scope',
    });
  }

  private add(name: string, type: TensorType, source: Source): Value {
    const value = {
      id: this.values.length,
      name: this.unique(name, this.valueNames),
      type,
      source,
    };
    this.values.push(value);
    this.valueNames.add(value.name);
    return value;
  }

  private unique(name: string, taken: ReadonlySet<string>): string {
    if (!taken.has(name)) return name;
    for (let n = 2; ; n++) {
      const candidate = `${name}~${String(n)}`;
      if (!taken.has(candidate)) return candidate;
    }
  }
}

/** Applies `f` to every entry that is present, keeping the keys. */
function mapBag<R extends string, O extends string, A, B>(
  bag: Bag<R, O, A>,
  f: (item: A, key: string) => B,
): Bag<R, O, B> {
  const result: Record<string, B> = {};
  for (const [key, item] of Object.entries<A>(bag)) result[key] = f(item, key);
  // The keys are those of `bag`, which the type checker cannot follow through Object.entries.
  return result as Bag<R, O, B>;
}

function idsOf(bag: Readonly<Record<string, Value>>): Operands {
  const ids: Record<string, ValueId> = {};
  for (const key of Object.keys(bag)) ids[key] = bag[key].id;
  return ids;
}
