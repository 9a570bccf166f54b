/**
 * quantise: products with a constant right side in 8-bit integers, everything else as it was.
 *
 * Weights. Each output (column) of a weight has its own scale s: w ≈ s · q, q from −64 to 64. Not
 * 127: on x86 processors without VNNI two products of an unsigned and a signed byte are added in 16
 * bits, and 2 · 255 · 64 still fits where 2 · 255 · 127 saturates without a word. The lost bit does
 * not show: ViT-Ti's logits differ by 0.77 (root mean square) instead of 0.76 from those in
 * float32.
 *
 * Activations. DynamicQuantizeLinear finds range and zero point of the whole tensor when the model
 * runs, so that no calibration images are needed; a picture's logits depend a little on what else
 * is in its batch. A few tokens make GELU's results a hundred times larger than the others need:
 * there each row is divided by its largest magnitude m first, and the product multiplied by m. That
 * takes the 0.76 to 0.16, for 1.5 ms of 13. Norms have evened out the inputs of other products.
 *
 *   q, sx, zx = DynamicQuantizeLinear(x)
 *   x Wᵀ = Cast(MatMulInteger(q, qW, zx)) · (sx · s)
 *
 * which onnxruntime runs as one node (DynamicQuantizeMatMul).
 *
 * The patch embedding stays in float32: 0.19 for 2 % of the bytes. So do weights of few elements. Convolutions are in
 * quantise-conv.ts.
 */
import { DATA_TYPE } from './fields.js';
import {
  convolutionConstants,
  integerConvolution,
  isIntegerConvolution,
  LEAST_WEIGHT,
  LEVELS,
} from './quantise-conv.js';
import { floats, int, ints, type Initializer, type OnnxGraph, type OnnxNode } from './graph.js';

/** Elements of a weight that is worth it. */
const SMALL = 1024;

/** What rows are divided by at least. */
const LEAST = 1e-9;

/** The graph with its matrix products in 8-bit integers: weights beforehand, activations as they come. */
export function quantise(graph: OnnxGraph): OnnxGraph {
  const constants = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const producers = new Map(graph.nodes.map((node) => [node.outputs[0], node]));
  const integers = new Map<string, readonly Initializer[]>();
  const inputs = new Map<string, QuantisedInput>();
  /** Biases of convolutions, which are constants of another shape now. */
  const left = new Set<string>();
  const nodes = graph.nodes.flatMap((node): readonly OnnxNode[] => {
    const weight = constants.get(node.inputs[1]);
    if (!weight) return [node];
    const isConvolution = isIntegerConvolution(node, weight, SMALL);
    if (!isConvolution && !(node.op === 'MatMul' && isWorthIt(weight))) return [node];
    const [x, , bias] = node.inputs;
    const known = inputs.get(x);
    const input = known ?? quantisedInput(x, !isConvolution && isUneven(producers, x));
    inputs.set(x, input);
    const before = known ? [] : input.nodes;
    if (!isConvolution) {
      integers.set(weight.name, integerWeight(weight));
      return [...before, ...product(node, weight.name, input)];
    }
    if (bias !== undefined) left.add(bias);
    integers.set(weight.name, convolutionConstants(weight, constants.get(bias)));
    return [...before, ...integerConvolution(node, input)];
  });
  const least = { name: LEAST_NAME, type: 'float32', shape: [], read: leastData } as const;
  return {
    ...graph,
    nodes,
    initializers: [
      ...unique(
        graph.initializers
          .filter(({ name }) => !left.has(name))
          .flatMap((tensor) => integers.get(tensor.name) ?? [tensor]),
      ),
      ...([...inputs.values()].some(({ largest }) => largest !== null) ? [least] : []),
    ],
  };
}

/** Each name once. */
function unique(tensors: readonly Initializer[]): readonly Initializer[] {
  return [...new Map(tensors.map((tensor) => [tensor.name, tensor])).values()];
}

const LEAST_NAME = `scalar/${String(LEAST)}`;

function leastData(): Float32Array {
  return Float32Array.of(LEAST);
}

function isWorthIt({ name, shape, type }: Initializer): boolean {
  if (type !== 'float32' || shape.length !== 2 || name.startsWith('patch_embed.')) return false;
  return shape[0] * shape[1] >= SMALL;
}

/**
 * True for the result of GELU, whose parts one node of the model has written (site.ts says how they
 * are called), and for that of a product without a bias: what is between the sides of a low-rank
 * weight.
 */
function isUneven(producers: ReadonlyMap<string, OnnxNode>, x: string): boolean {
  const scope = x.slice(0, x.lastIndexOf('/'));
  return producers.get(x)?.op === 'MatMul' || producers.has(`${scope}/Erf`);
}

interface QuantisedInput {
  readonly nodes: readonly OnnxNode[];
  readonly values: string;
  readonly scale: string;
  readonly zero: string;
  /** What the rows were divided by; null: they were not. */
  readonly largest: string | null;
}

function quantisedInput(x: string, uneven: boolean): QuantisedInput {
  const [values, scale, zero] = ['quantised', 'scale', 'zero'].map((part) => `${x}/${part}`);
  const rows = uneven ? evenRows(x) : [];
  return {
    nodes: [
      ...rows,
      {
        name: `${x}/DynamicQuantizeLinear`,
        op: 'DynamicQuantizeLinear',
        inputs: [rows.at(-1)?.outputs[0] ?? x],
        outputs: [values, scale, zero],
        attributes: {},
      },
    ],
    values,
    scale,
    zero,
    largest: uneven ? `${x}/Max` : null,
  };
}

/** x / max |x| of its row. */
function evenRows(x: string): readonly OnnxNode[] {
  const node = (
    op: string,
    inputs: readonly string[],
    attributes: OnnxNode['attributes'] = {},
  ) => ({
    name: `${x}/${op}`,
    op,
    inputs,
    outputs: [`${x}/${op}`],
    attributes,
  });
  return [
    node('Abs', [x]),
    node('ReduceMax', [`${x}/Abs`], { axes: ints(-1), keepdims: int(1) }),
    node('Max', [`${x}/ReduceMax`, LEAST_NAME]),
    node('Div', [x, `${x}/Max`]),
  ];
}

function product(node: OnnxNode, weight: string, x: QuantisedInput): readonly OnnxNode[] {
  const [y] = node.outputs;
  const step = (
    op: string,
    inputs: readonly string[],
    part: string,
    attributes: OnnxNode['attributes'] = {},
  ) => ({ name: `${node.name}/${part}`, op, inputs, outputs: [`${y}/${part}`], attributes });
  const operands = [x.values, `${weight}/int8`, x.zero, `${weight}/zero`];
  const whole = step('MatMulInteger', operands, 'MatMulInteger');
  const scale = step('Mul', [x.scale, `${weight}/scale`], 'scales');
  const real = step('Cast', whole.outputs, 'Cast', { to: int(DATA_TYPE.float32) });
  const scaled = step('Mul', [...real.outputs, ...scale.outputs], 'Mul');
  const steps = [whole, scale, real, scaled];
  const all = x.largest ? [...steps, step('Mul', [...scaled.outputs, x.largest], 'rows')] : steps;
  return all.map((each, index) => (index === all.length - 1 ? { ...each, outputs: [y] } : each));
}

/** qW, s and the zero point of a weight [I, O]. */
function integerWeight({ name, shape, read }: Initializer): readonly Initializer[] {
  const [, outputs] = shape;
  return [
    { name: `${name}/int8`, type: 'int8', shape, read: () => rounded(floats(read()), outputs) },
    {
      name: `${name}/scale`,
      type: 'float32',
      shape: [outputs],
      read: () => scales(floats(read()), outputs),
    },
    { name: `${name}/zero`, type: 'int8', shape: [outputs], read: () => new Int8Array(outputs) },
  ];
}

/** max |w| / LEVELS of each column, exact; 1 of zeros. */
function scales(data: Float32Array, columns: number): Float32Array {
  const most = new Float32Array(columns);
  for (let row = 0; row < data.length; row += columns) {
    for (let i = 0; i < columns; i++) most[i] = Math.max(most[i], Math.abs(data[row + i]));
  }
  return most.map((magnitude) => (magnitude < LEAST_WEIGHT ? 1 : magnitude / LEVELS));
}

function rounded(data: Float32Array, columns: number): Int8Array {
  const steps = scales(data, columns);
  const result = new Int8Array(data.length);
  for (let row = 0; row < data.length; row += columns) {
    for (let i = 0; i < columns; i++) result[row + i] = Math.round(data[row + i] / steps[i]);
  }
  return result;
}
