/**
 * The kernels that are timed, at the shapes at which training uses them.
 *
 * Legend: ViT-Ti is vit-tiny-16 at 224 px and batch 8 (1576 tokens, width 192, hidden 768, 3
 * heads), micro is vit-micro at batch 64 (4160 tokens, width 128), ViT-B is vit-base-32 at batch 16
 * (800 tokens, width 768, 12 heads). NT is the forward pass of a linear layer, NN its input's
 * gradient, TN its weight's.
 */
import {
  bytesOf,
  f32,
  GraphBuilder,
  opNamed,
  OPS,
  plan,
  type OpName,
  type Params,
  type Program,
  type TensorType,
} from '@thimble/core';

/** One input: its type and the range that its contents are drawn from, by default [-1, 1). */
export interface CaseInput {
  readonly type: TensorType;
  readonly low?: number;
  readonly high?: number;
}

export interface KernelCase {
  readonly name: string;
  readonly op: OpName;
  readonly params: Params;
  readonly inputs: Readonly<Record<string, CaseInput>>;
  /** What limits it: arithmetic is reported in GFLOP/s, memory in GB/s. */
  readonly bound: 'arithmetic' | 'memory';
}

export const KERNEL_CASES: readonly KernelCase[] = [
  matmul('square', 'NN', 1024, 1024, 1024),
  matmul('ViT-Ti qkv', 'NT', 1576, 576, 192),
  matmul('ViT-Ti proj', 'NT', 1576, 192, 192),
  matmul('ViT-Ti fc1', 'NT', 1576, 768, 192, { bias: true, gelu: true }),
  matmul('ViT-Ti fc2', 'NT', 1576, 192, 768),
  matmul('ViT-Ti fc1 dx', 'NN', 1576, 192, 768),
  matmul('ViT-Ti fc2 dx', 'NN', 1576, 768, 192),
  matmul('ViT-Ti qkv dw', 'TN', 576, 192, 1576),
  matmul('ViT-Ti fc1 dw', 'TN', 768, 192, 1576),
  matmul('ViT-Ti fc2 dw', 'TN', 192, 768, 1576),
  matmul('micro fc1', 'NT', 4160, 512, 128),
  matmul('micro fc1 dw', 'TN', 512, 128, 4160),
  attention('ViT-Ti', 8, 197, 3, 64),
  attentionGrad('ViT-Ti', 8, 197, 3, 64),
  attention('ViT-B', 16, 50, 12, 64),
  attentionGrad('ViT-B', 16, 50, 12, 64),
  elementwise('layernorm', { eps: 1e-6 }, { x: [1576, 192], gamma: [192], beta: [192] }),
  {
    ...elementwise('layernorm_grad_input', {}, { x: [1576, 192], gamma: [192], dy: [1576, 192] }),
    inputs: {
      x: { type: f32(1576, 192) },
      gamma: { type: f32(192) },
      mean: { type: f32(1576) },
      rstd: { type: f32(1576), low: 0.5, high: 2 },
      dy: { type: f32(1576, 192) },
    },
  },
  elementwise('gelu', {}, { x: [1576, 768] }),
  elementwise('gelu_grad', {}, { x: [1576, 768], dy: [1576, 768] }),
  elementwise('add', {}, { a: [1576, 768], b: [1576, 768] }),
  elementwise('sum_rows', { axes: 1 }, { x: [1576, 768] }),
];

/**
 * A program whose entry `run` applies the case's op `repeats` times to the same inputs (`run.x`,
 * …): one call then takes long enough that calling costs nothing. The outputs of the last time can
 * be read (`run.y`, …).
 */
export function kernelProgram({ op, inputs, params }: KernelCase, repeats: number): Program {
  const builder = new GraphBuilder();
  const operands = Object.fromEntries(
    Object.entries(inputs).map(([name, { type }]) => [name, builder.input(name, type)]),
  );
  let outputs = builder.emit(opNamed(op), operands, params);
  for (let i = 1; i < repeats; i++) outputs = builder.emit(opNamed(op), operands, params);
  return plan([{ name: 'run', graph: builder.build(outputs) }]);
}

/** Work of one application: floating-point operations, and bytes of all operands. */
export function workOf({ op, inputs, params }: KernelCase): {
  readonly flops: number;
  readonly bytes: number;
} {
  const types = Object.fromEntries(Object.entries(inputs).map(([name, { type }]) => [name, type]));
  const record = opNamed(op);
  const all = { ...types, ...record.infer(types, params, op) };
  const bytes = Object.values(all).reduce((sum, type) => sum + bytesOf(type), 0);
  return { flops: record.flops(all, params), bytes };
}

/**
 * op(a) · op(b) = [m, n] with inner extent k; letters N and T tell which of a and b is transposed.
 */
function matmul(
  title: string,
  form: 'NN' | 'NT' | 'TN',
  m: number,
  n: number,
  k: number,
  { bias = false, gelu = false } = {},
): KernelCase {
  const [transA, transB] = [form.startsWith('T'), form.endsWith('T')];
  return {
    name: `matmul ${form} ${m}×${n}×${k}${gelu ? ' +GELU' : ''} (${title})`,
    op: OPS.matmul.name as 'matmul',
    params: { transA, transB, batched: false, gelu },
    inputs: {
      a: { type: transA ? f32(k, m) : f32(m, k) },
      b: { type: transB ? f32(n, k) : f32(k, n) },
      ...(bias ? { bias: { type: f32(n) } } : {}),
    },
    bound: 'arithmetic',
  };
}

function attention(
  title: string,
  batch: number,
  tokens: number,
  heads: number,
  headDim: number,
): KernelCase {
  return {
    name: `attention ${batch}×${tokens}×${heads}×${headDim} (${title})`,
    op: 'attention',
    params: { heads },
    inputs: { qkv: { type: f32(batch, tokens, 3 * heads * headDim) } },
    bound: 'arithmetic',
  };
}

/** lse is near the true one, log(tokens): so the weights are those of an attention. */
function attentionGrad(...shape: Parameters<typeof attention>): KernelCase {
  const [title, batch, tokens, heads, headDim] = shape;
  const forward = attention(...shape);
  const wide = { type: f32(batch, tokens, heads * headDim) };
  const lse = Math.log(tokens);
  return {
    ...forward,
    name: `attention_grad ${batch}×${tokens}×${heads}×${headDim} (${title})`,
    op: 'attention_grad',
    inputs: {
      ...forward.inputs,
      lse: { type: f32(batch, heads, tokens), low: lse, high: lse + 0.5 },
      dy: wide,
    },
  };
}

function elementwise(
  op: OpName,
  params: Params,
  shapes: Readonly<Record<string, readonly number[]>>,
): KernelCase {
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, { type: f32(...shape) }]),
  );
  const [first] = Object.values(shapes);
  return { name: `${op} ${first.join('×')}`, op, params, inputs, bound: 'memory' };
}
