/**
 * Matrix product with everything that is cheap to do to its result while it is in registers: bias,
 * GELU, residual. Linear layers, patch embedding, weight gradients and batched products are all
 * this op; how its operands are read as matrices is in matmul-sizes.ts.
 */
import { GraphError } from '../errors.js';
import type { Value } from '../ir/graph.js';
import { elements, f32, sameShape } from '../ir/types.js';
import { geluGrad } from './gelu-grad.js';
import { normalCdf } from './erf.js';
import { matmulSamples } from './matmul-samples.js';
import { matrixSizes, resultShape, type MatmulParams } from './matmul-sizes.js';
import { expectShape, type GradContext, type Op } from './op.js';
import { reshaped } from './reshape.js';
import { expectForm, expectType, lastOf, refuseGradients } from './shapes.js';
import { summed } from './sum-rows.js';

type MatmulContext = GradContext<MatmulParams, 'a' | 'b', 'bias' | 'residual', 'y', 'pre'>;

/** Bytes of packed panels per thread, GEMM_SCRATCH_BYTES of kernels/gemm.h. */
export const GEMM_SCRATCH_BYTES = 512 * 1024;

/** a b, one product with folded axes; the other two are this one with an operand transposed. */
export const PLAIN = { transA: false, transB: false, gelu: false, batched: false } as const;
/** aᵀ b */
export const TRANSPOSED_A = { ...PLAIN, transA: true } as const;
/** a bᵀ: a linear layer, whose weight is [outputs, inputs]. */
export const TRANSPOSED_B = { ...PLAIN, transB: true } as const;

/** y = gelu?(op(a) · op(b) + bias) + residual; bias [n], residual and pre as y. */
export const matmul: Op<MatmulParams, 'a' | 'b', 'bias' | 'residual', 'y', 'pre'> = {
  name: 'matmul',
  summary: 'y = gelu?(op(a) · op(b) + bias) + residual; pre is the value before gelu',
  inputs: ['a', 'b', 'bias?', 'residual?'],
  outputs: ['y', 'pre?'],
  params: { transA: 'truth', transB: 'truth', gelu: 'truth', batched: 'truth' },
  infer: ({ a, b, bias, residual }, params, at) => {
    expectForm(at, 'a', a, 'f32[...,M,K]');
    expectForm(at, 'b', b, 'f32[...,K,N]');
    const [inner, expected] = matrixSizes(a.shape, b.shape, params).inner;
    expectShape(inner === expected, at, `b with inner extent ${String(inner)}, as a`, b);
    if (params.batched || (params.transA && !params.transB)) {
      const trailing = params.batched ? 2 : 1;
      const leading = a.shape.slice(0, -trailing);
      expectShape(
        sameShape(b.shape.slice(0, -trailing), leading),
        at,
        `b with leading axes [${leading.join(',')}], as a`,
        b,
      );
    }
    const y = f32(...resultShape(a.shape, b.shape, params));
    if (bias) expectType(at, 'bias', bias, f32(lastOf(y.shape)));
    if (residual) expectType(at, 'residual', residual, y);
    return { y, ...(params.gelu && { pre: y }) };
  },
  grad: (context) => {
    const { emitter, inputs, outputGrads, needs } = context;
    refuseGradients('matmul', outputGrads, ['pre']);
    const dy = outputGrads.y;
    if (!dy) return {};
    const past = inputs.residual && needs('residual') && { residual: dy };
    const wanted = (['a', 'b', 'bias'] as const).filter((key) => inputs[key] && needs(key));
    if (wanted.length === 0) return { ...past };
    const dz = context.params.gelu ? gradOfPre(context, dy) : dy;
    const axes = dz.type.shape.length - 1;
    return {
      ...past,
      ...(wanted.includes('a') && { a: gradOfA(context, dz) }),
      ...(wanted.includes('b') && { b: gradOfB(context, dz) }),
      ...(wanted.includes('bias') && { bias: summed(emitter, dz, axes) }),
    };
  },
  flops: ({ a, b, bias, residual, y }, params) => {
    const { k } = matrixSizes(a.shape, b.shape, params);
    const epilogue = Number(Boolean(bias)) + Number(Boolean(residual)) + (params.gelu ? 20 : 0);
    return (2 * k + epilogue) * elements(y.shape);
  },
  recompute: 'costly',
  rowwise: ({ residual }, { transA, batched }) => {
    if (transA || batched) return [];
    return residual ? ['a', 'residual'] : ['a'];
  },
  reference: ({ a, b, bias, residual }, { y, pre }, types, params) => {
    const { batch, m, n, k } = matrixSizes(types.a.shape, types.b.shape, params);
    const [aRow, aCol] = params.transA ? [1, m] : [k, 1]; // steps between neighbours of op(a)
    const [bRow, bCol] = params.transB ? [1, k] : [n, 1];
    for (let l = 0; l < batch; l++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = bias ? bias[j] : 0;
          for (let p = 0; p < k; p++) {
            sum += a[l * m * k + i * aRow + p * aCol] * b[l * k * n + p * bRow + j * bCol];
          }
          const at = (l * m + i) * n + j;
          if (pre) pre[at] = sum;
          y[at] = (params.gelu ? sum * normalCdf(sum) : sum) + (residual ? residual[at] : 0);
        }
      }
    }
  },
  residual: 'y',
  inPlace: [['y', 'residual']],
  scalars: {
    batch: 'int',
    m: 'int',
    n: 'int',
    k: 'int',
    transA: 'int',
    transB: 'int',
    sharedB: 'int',
    gelu: 'int',
  },
  encode: ({ a, b }, params) => {
    const { batch, m, n, k } = matrixSizes(a.shape, b.shape, params);
    const { transA, transB, gelu, batched } = params;
    return {
      batch,
      m,
      n,
      k,
      transA: Number(transA),
      transB: Number(transB),
      sharedB: Number(!batched),
      gelu: Number(gelu),
    };
  },
  scratch: () => GEMM_SCRATCH_BYTES,
  samples: matmulSamples,
};

/** dL/d(value before GELU). */
function gradOfPre({ emitter, outputs }: MatmulContext, dy: Value): Value {
  if (outputs.pre) return emitter.emit(geluGrad, { x: outputs.pre, dy }, {}).dx;
  throw new GraphError({
    where: 'gradient of matmul',
    expected: 'the output "pre", which GELU is differentiated at',
    got: 'a node without it',
    todo: 'Differentiate before pruning unread outputs',
  });
}

/** With z = op(a) · op(b): d op(a) = dz · op(b)ᵀ, turned round when a is transposed. */
function gradOfA(context: MatmulContext, dz: Value): Value {
  const { a, b } = context.inputs;
  const { transA, transB } = context.params;
  const da = transA
    ? product(context, b, dz, transB, true)
    : product(context, dz, b, false, !transB);
  return reshaped(context.emitter, da, a.type.shape);
}

/** d op(b) = op(a)ᵀ · dz, turned round when b is transposed. */
function gradOfB(context: MatmulContext, dz: Value): Value {
  const { a, b } = context.inputs;
  const { transA, transB } = context.params;
  const db = transB
    ? product(context, dz, a, true, transA)
    : product(context, a, dz, !transA, false);
  return reshaped(context.emitter, db, b.type.shape);
}

function product(
  { emitter, inputs, params }: MatmulContext,
  left: Value,
  right: Value,
  transA: boolean,
  transB: boolean,
): Value {
  const { batched } = params;
  // aᵀ · bᵀ with folded axes needs its operands as plain matrices; every other form folds by itself.
  const matrix = (value: Value) => {
    if (batched || !(params.transA && params.transB)) return value;
    const { shape } = value.type;
    const cols = value === inputs.b ? elements(shape.slice(1)) : lastOf(shape);
    return reshaped(emitter, value, [elements(shape) / cols, cols]);
  };
  const operands = { a: matrix(left), b: matrix(right) };
  return emitter.emit(matmul, operands, { transA, transB, gelu: false, batched }).y;
}
