/**
 * The linears of a model's blocks, as methods see them: y = x Wᵀ + b inside attention or an MLP, and convolutions of
 * one pixel, whose weights are [O, I, 1, 1]. Patch embedding, patch merging, squeeze-excitation and the classifier are
 * not among them.
 */
import { InternalError } from '../errors.js';
import {
  isParameter,
  type Graph,
  type ModelGraph,
  type Node,
  type Parameter,
} from '../ir/graph.js';
import type { Value, ValueId } from '../ir/graph.js';
import type { Layers } from './ranks.js';

/** A product of activations with a weight W [outputs, inputs]: y = x Wᵀ. */
export interface Linear {
  /** Name of W in the dense model. */
  readonly weight: string;
  readonly outputs: number;
  readonly inputs: number;
  /** [..., I] */
  readonly x: Value;
  /** [..., O] */
  readonly y: Value;
  /** In what form W lives, with its parameters. */
  readonly form: LinearForm;
}

/** Dense, as two factors in its place, or frozen with two factors beside it. */
export type LinearForm =
  | { readonly kind: 'dense'; readonly weight: Parameter; readonly node: Node }
  | { readonly kind: 'low-rank'; readonly left: Parameter; readonly right: Parameter }
  /** Frozen W plus scale · left · right; `y` is the output of the frozen product. */
  | {
      readonly kind: 'adapter';
      readonly weight: Parameter;
      readonly left: Parameter;
      readonly right: Parameter;
      readonly scale: number;
    };

/** The linears of `layers` in the order in which they run. */
export function linears(model: ModelGraph, layers: Layers): readonly Linear[] {
  const { graph } = model;
  const byWeight = new Map<string, { [side in Side]?: { node: Node; parameter: Parameter } }>();
  for (const node of graph.nodes) {
    const parameter = linearWeight(graph.values, node);
    if (!parameter) continue;
    const { factor } = parameter.source;
    const weight = factor?.weight ?? parameter.name;
    const isChosen = isNamed(weight) ? isOf(layers, weight) : isImage(graph.values[node.inputs.a]);
    if (!inBlocks(model, weight) || !isChosen) continue;
    const sides = byWeight.get(weight) ?? {};
    sides[factor?.side ?? 'dense'] = { node, parameter };
    byWeight.set(weight, sides);
  }
  return [...byWeight].map(([weight, { dense, left, right }]): Linear => {
    const first = (dense ?? right)?.node;
    const last = (dense ?? left)?.node;
    if (!first || !last) throw halfPair(weight);
    const x = graph.values[first.inputs.a];
    const y = graph.values[last.outputs.y];
    const outputs = y.type.shape[y.type.shape.length - 1];
    const inputs = x.type.shape[x.type.shape.length - 1];
    const sizes = { weight, outputs, inputs, x, y };
    if (dense && left && right) {
      const pair = { left: left.parameter, right: right.parameter };
      const scale = scaleOf(graph, left.node);
      return { ...sizes, form: { kind: 'adapter', weight: dense.parameter, ...pair, scale } };
    }
    if (dense) {
      return { ...sizes, form: { kind: 'dense', weight: dense.parameter, node: dense.node } };
    }
    if (!left || !right) throw halfPair(weight);
    const pair = { left: left.parameter, right: right.parameter };
    return { ...sizes, form: { kind: 'low-rank', ...pair } };
  });
}

/** True when what the linear learns with is trainable. */
export function isTrained({ form }: Linear): boolean {
  return form.kind === 'dense' ? form.weight.source.trainable : form.left.source.trainable;
}

type Side = 'dense' | 'left' | 'right';

/** What the operand of an adapter's second product was multiplied by. */
function scaleOf(graph: Graph, { inputs }: Node): number {
  const node = graph.nodes.find(({ outputs }) => outputs.y === inputs.a);
  const factor = node?.op === 'scale' ? node.params.factor : 1;
  return typeof factor === 'number' ? factor : 1;
}

/** The parameter W of a node that computes x Wᵀ, or null. */
function linearWeight(values: readonly Value[], node: Node): Parameter | null {
  const { transA, transB, batched } = node.params;
  if (node.op !== 'matmul' || transA === true || transB !== true || batched === true) return null;
  const operands: Readonly<Record<string, ValueId>> = node.inputs;
  const b = values[operands.b];
  const [, , ...behind] = b.type.shape;
  return isParameter(b) && behind.every((extent) => extent === 1) ? b : null;
}

function inBlocks(model: ModelGraph, weight: string): boolean {
  return model.blocks.some((prefix) => weight.startsWith(prefix));
}

/** Whether it is a linear of a transformer: their activations may have four axes too. */
function isNamed(weight: string): boolean {
  return /\.(attn|mlp)\./.test(weight);
}

function isOf(layers: Layers, weight: string): boolean {
  return layers === 'all' || weight.includes('.mlp.');
}

/** [B, H, W, C]: what squeeze-excitation multiplies has lost its pixels. */
function isImage({ type }: Value): boolean {
  return type.shape.length === 4;
}

function halfPair(weight: string): InternalError {
  return InternalError.of(weight, 'both sides of a pair', 'one');
}
