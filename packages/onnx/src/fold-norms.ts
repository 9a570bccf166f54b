/**
 * fold-norms: batch normalisation with learnt statistics is a factor and an offset for each output of the convolution in
 * front of it, and becomes part of its weights:
 *
 *   W'[o] = W[o] γ[o]/√(variance[o] + ε)        b'[o] = (b[o] − mean[o]) γ[o]/√(variance[o] + ε) + β[o]
 *
 * Computed in float64 when the weights are written, one tensor at a time. A norm behind anything else, or behind a
 * convolution that somebody else reads too, stays.
 */
import { floats, type Initializer, type OnnxGraph, type OnnxNode } from './graph.js';

export function foldNorms(graph: OnnxGraph): OnnxGraph {
  const constants = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const folds = graph.nodes.flatMap((norm) => foldOf(graph, constants, norm) ?? []);
  if (folds.length === 0) return graph;
  const replaced = new Map(folds.map(({ convolution, folded }) => [convolution, folded]));
  const dropped = new Set(folds.map(({ norm }) => norm));
  const nodes = graph.nodes
    .filter((node) => !dropped.has(node))
    .map((node) => replaced.get(node) ?? node);
  const used = new Set(nodes.flatMap(({ inputs }) => inputs));
  const made = folds.flatMap(({ constants: own }) => own);
  const initializers = [...graph.initializers, ...made].filter(({ name }) => used.has(name));
  return { ...graph, nodes, initializers };
}

interface Fold {
  readonly norm: OnnxNode;
  readonly convolution: OnnxNode;
  /** The convolution with both in one. */
  readonly folded: OnnxNode;
  readonly constants: readonly Initializer[];
}

function foldOf(
  { nodes }: OnnxGraph,
  constants: ReadonlyMap<string, Initializer>,
  norm: OnnxNode,
): Fold | null {
  if (norm.op !== 'BatchNormalization') return null;
  const [x, ...names] = norm.inputs;
  const convolution = nodes.find(({ outputs }) => outputs[0] === x);
  const readers = nodes.filter(({ inputs }) => inputs.includes(x));
  if (convolution?.op !== 'Conv' || readers.length !== 1) return null;
  const [, weightName, biasName] = convolution.inputs;
  const weight = constants.get(weightName);
  const operands = names.map((name) => constants.get(name));
  const [gamma, beta, mean, variance] = operands;
  const bias = biasName === undefined ? null : constants.get(biasName);
  if (!weight || !gamma || !beta || !mean || !variance || bias === undefined) return null;
  const { epsilon } = norm.attributes;
  const eps = epsilon.kind === 'float' ? epsilon.value : 0;
  const factors = () => {
    const spread = floats(variance.read());
    return Float64Array.from(floats(gamma.read()), (g, o) => g / Math.sqrt(spread[o] + eps));
  };
  const folded: Initializer = {
    ...weight,
    name: `${weight.name}.folded`,
    read: () => scaledRows(floats(weight.read()), factors()),
  };
  const offset: Initializer = {
    ...beta,
    name: `${weight.name}.offset`,
    read: () => {
      const [scale, centre] = [factors(), floats(mean.read())];
      const own = bias && floats(bias.read());
      return floats(beta.read()).map((b, o) => ((own?.[o] ?? 0) - centre[o]) * scale[o] + b);
    },
  };
  return {
    norm,
    convolution,
    folded: {
      ...convolution,
      inputs: [convolution.inputs[0], folded.name, offset.name],
      outputs: norm.outputs,
    },
    constants: [folded, offset],
  };
}

/** The rows of a matrix times a factor each. */
function scaledRows(data: Float32Array, factors: Float64Array): Float32Array {
  const width = data.length / factors.length;
  return data.map((value, at) => value * factors[Math.floor(at / width)]);
}
