/**
 * Convolutions in 8-bit integers, as quantise.ts does products: each output has its own scale s, w ≈ s (q − 64) with q
 * from 0 to 128, since onnxruntime's ConvInteger takes weights without a sign only.
 *
 *   q, sx, zx = DynamicQuantizeLinear(x)
 *   x ∗ W = Cast(ConvInteger(q, qW, zx, 64)) · (sx · s) + b
 *
 * Depthwise convolutions stay in float32: a hundredth of the bytes, and their few products of large sums lose most. So
 * does the one that reads the picture.
 */
import { DATA_TYPE } from './fields.js';
import { floats, int, type Initializer, type OnnxNode } from './graph.js';

/** Greatest magnitude of a quantised weight, here also what stands for zero; quantise.ts says why. */
export const LEVELS = 64;
/** Channels of a picture. */
const PICTURE = 4;
/** An output of smaller magnitudes counts as zeros: its scale would lose bits, and q pass LEVELS. */
export const LEAST_WEIGHT = 2 ** -120;

/** Whether a convolution with this weight runs in integers. @param small elements that are not worth it */
export function isIntegerConvolution(
  { op, attributes }: OnnxNode,
  weight: Initializer,
  small: number,
): boolean {
  if (op !== 'Conv' || weight.type !== 'float32' || weight.shape[1] <= PICTURE) return false;
  const { group } = attributes;
  const isWhole = group === undefined || (group.kind === 'int' && group.value === 1);
  return isWhole && weight.shape.reduce((product, extent) => product * extent, 1) >= small;
}

/** The constants of a weight [O, I, H, W], and of the convolution's bias. */
export function convolutionConstants(
  { name, shape, read }: Initializer,
  bias: Initializer | undefined,
): readonly Initializer[] {
  const [outputs] = shape;
  const column = [outputs, 1, 1];
  const own = bias && ({ ...bias, name: `${bias.name}/image`, shape: column } as const);
  return [
    { name: `${name}/uint8`, type: 'uint8', shape, read: () => rounded(floats(read()), outputs) },
    {
      name: `${name}/scale`,
      type: 'float32',
      shape: column,
      read: () => scales(floats(read()), outputs),
    },
    { name: ZERO, type: 'uint8', shape: [], read: () => Uint8Array.of(LEVELS) },
    ...(own ? [own] : []),
  ];
}

const ZERO = `scalar/zero/${String(LEVELS)}`;

/** The convolution of x, which is `values` with its scale and zero point. */
export function integerConvolution(
  node: OnnxNode,
  x: { readonly values: string; readonly scale: string; readonly zero: string },
): readonly OnnxNode[] {
  const [y] = node.outputs;
  const [, weight, bias] = node.inputs;
  const step = (
    op: string,
    inputs: readonly string[],
    part: string,
    attributes: OnnxNode['attributes'] = {},
  ) => ({ name: `${node.name}/${part}`, op, inputs, outputs: [`${y}/${part}`], attributes });
  const operands = [x.values, `${weight}/uint8`, x.zero, ZERO];
  const whole = step('ConvInteger', operands, 'ConvInteger', node.attributes);
  const scale = step('Mul', [x.scale, `${weight}/scale`], 'scales');
  const real = step('Cast', whole.outputs, 'Cast', { to: int(DATA_TYPE.float32) });
  const scaled = step('Mul', [...real.outputs, ...scale.outputs], 'Mul');
  const steps = [whole, scale, real, scaled];
  const all =
    bias === undefined
      ? steps
      : [...steps, step('Add', [...scaled.outputs, `${bias}/image`], 'Add')];
  return all.map((each, index) => (index === all.length - 1 ? { ...each, outputs: [y] } : each));
}

/** max |w| / LEVELS of each output; 1 of zeros. */
function scales(data: Float32Array, outputs: number): Float32Array {
  const width = data.length / outputs;
  return Float32Array.from({ length: outputs }, (_, o) => {
    const row = data.subarray(o * width, (o + 1) * width);
    const most = row.reduce((largest, w) => Math.max(largest, Math.abs(w)), 0);
    return most < LEAST_WEIGHT ? 1 : most / LEVELS;
  });
}

function rounded(data: Float32Array, outputs: number): Uint8Array {
  const steps = scales(data, outputs);
  const width = data.length / outputs;
  return Uint8Array.from(data, (w, at) => LEVELS + Math.round(w / steps[Math.floor(at / width)]));
}
