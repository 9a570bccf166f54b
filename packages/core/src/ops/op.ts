/**
 * The Op contract: everything that the system knows about an op except its fast kernel.
 *
 * One op is one record in one file. Operands have names; a name that ends in `?` in `inputs` or `outputs`
 * is optional and its presence follows from the params. Real tensors are float64 in `reference`: it is the
 * readable oracle that every executor is checked against.
 */
import { ShapeError } from '../errors.js';
import type { Params, Value } from '../ir/graph.js';
import type { HostArray } from '../ir/host.js';
import { elements, typeText, type DType, type TensorType } from '../ir/types.js';
import type { ParamKinds } from './params.js';

/** Named things, some of which may be absent. */
export type Bag<Required extends string, Optional extends string, T> = Readonly<
  Record<Required, T> & Partial<Record<Optional, T>>
>;

/** Element storage of the reference: float64 for f32 tensors, int32 for i32, int8 for i8. */
export type Data = Float64Array | Int32Array | Int8Array;

const DATA: { readonly [K in DType]: (count: number) => Data } = {
  f32: (count) => new Float64Array(count),
  i32: (count) => new Int32Array(count),
  i8: (count) => new Int8Array(count),
};

/** Zeros for a tensor of the reference. */
export function dataFor(type: TensorType): Data {
  return DATA[type.dtype](elements(type.shape));
}

/** What a scalar argument of the kernel is; float bits travel in an int32 word. */
export type ScalarKind = 'int' | 'float';

/** Adds nodes to a graph under construction; what `grad` and the layers in nn/ write with. */
export interface Emitter {
  /** Appends `op` applied to `inputs`; its outputs by name. Throws ShapeError where they do not fit. */
  emit<P extends Params, I extends string, OI extends string, O extends string, OO extends string>(
    op: Op<P, I, OI, O, OO>,
    inputs: Bag<NoInfer<I>, NoInfer<OI>, Value>,
    params: P,
    name?: string,
  ): Bag<O, OO, Value>;
  /** A tensor whose every element is `fill`. */
  constant(type: TensorType, fill: number): Value;
  /** A tensor of these contents, which nobody may change afterwards. */
  table(name: string, type: TensorType, data: HostArray): Value;
}

/** What `grad` sees of one node. */
export interface GradContext<
  P extends Params,
  I extends string,
  OI extends string,
  O extends string,
  OO extends string,
> {
  readonly emitter: Emitter;
  readonly params: P;
  readonly inputs: Bag<I, OI, Value>;
  readonly outputs: Bag<O, OO, Value>;
  /** dL/doutput for the outputs that the loss depends on. */
  readonly outputGrads: Readonly<Partial<Record<O | OO, Value>>>;
  /** True when dL/d(input) is needed: false for frozen tensors, labels and images. */
  needs(input: I | OI): boolean;
}

/** One test input: types with the way to fill them. */
export interface SampleTensor {
  readonly type: TensorType;
  /** Reals are uniform in [low, high); integers are uniform in the same range. Default [-1, 1). */
  readonly low?: number;
  readonly high?: number;
  /** Exact contents instead of random ones. */
  readonly values?: readonly number[];
}

/** Inputs on which every executor and the gradient of an op are checked. */
export interface Sample<P extends Params> {
  readonly title: string;
  readonly params: P;
  readonly inputs: Readonly<Record<string, SampleTensor>>;
}

/** An op: everything that compiler, planner, executors and tests ask of it, but the fast kernel. */
export interface Op<
  P extends Params = Params,
  I extends string = string,
  OI extends string = string,
  O extends string = string,
  OO extends string = string,
> {
  readonly name: string;
  /** One sentence with the equation. */
  readonly summary: string;
  /** Operand names in kernel order; `?` marks an optional one. */
  readonly inputs: readonly (I | `${OI}?`)[];
  readonly outputs: readonly (O | `${OO}?`)[];
  /** What each param is, for programs that come from outside. */
  readonly params: ParamKinds<P>;
  /** Shape rule. Throws ShapeError naming `at`, the node. */
  infer(types: Bag<I, OI, TensorType>, params: P, at: string): Bag<O, OO, TensorType>;
  /**
   * Nodes for dL/d(input). What they read is what must be saved. Absent: not differentiable (gradient and
   * update ops).
   */
  grad?(context: GradContext<P, I, OI, O, OO>): Readonly<Partial<Record<I | OI, Value>>>;
  /** Floating-point operations (a multiply-add counts two). */
  flops(types: Bag<I | O, OI | OO, TensorType>, params: P): number;
  /**
   * What it costs to recompute the outputs instead of keeping them; `never`: they are few, sums over a whole batch that
   * have to be those of the forward pass, and would be others from operands in 8 bits.
   */
  readonly recompute: 'cheap' | 'costly' | 'never';
  /** Plain float64 loops; writes into `outputs`, which may alias `inputs` where `updates` says so. */
  reference(
    inputs: Bag<I, OI, Data>,
    outputs: Bag<O, OO, Data>,
    types: Bag<I | O, OI | OO, TensorType>,
    params: P,
  ): void;
  readonly samples: readonly Sample<P>[];
  /** Outputs that may be written over an input whose life ends here: elementwise reads before writes. */
  readonly inPlace?: readonly (readonly [output: O | OO, input: I | OI])[];
  /** Outputs that are the new value of an input, in the input's memory: parameters and states. */
  readonly updates?: readonly (readonly [output: O | OO, input: I | OI])[];
  /** Name of the op whose derivative this is: only a backward pass has it. */
  readonly gradientOf?: string;
  /** Of an op that `updates`: the operand that it reads as a parameter's gradient. */
  readonly gradient?: I;
  /** The output that the optional operand `residual` is added to. */
  readonly residual?: O;
  /**
   * Outputs that are never saved for the backward pass in fewer bits: sums that a
   * gradient takes exponentials or differences of, and what is compressed already.
   */
  readonly keepExact?: readonly (O | OO)[];
  /**
   * Operands of which row r, with the whole of the others, decides row r of every output; a row is one
   * index into all axes but the last. Absent or empty: none.
   */
  rowwise?(types: Bag<I, OI, TensorType>, params: P): readonly (I | OI)[];
  /** The output is the input's memory under another shape; no kernel. */
  readonly view?: readonly [output: O, input: I];
  /** Kernel arguments after the operands, in order; empty for a view. */
  readonly scalars: Readonly<Record<string, ScalarKind>>;
  /** Values of the scalars. */
  encode(types: Bag<I | O, OI | OO, TensorType>, params: P): Readonly<Record<string, number>>;
  /** Bytes shared by all threads while the node runs; placed in the arena. */
  workspace?(types: Bag<I | O, OI | OO, TensorType>, params: P): number;
  /** Bytes private to each thread while the node runs. */
  scratch?(types: Bag<I | O, OI | OO, TensorType>, params: P): number;
}

/** `bias?` → `bias`. */
export function operandName(declared: string): string {
  return declared.endsWith('?') ? declared.slice(0, -1) : declared;
}

/** Whether an operand, as an op declares it, may be absent: `bias?`. */
export function isOptional(declared: string): boolean {
  return declared.endsWith('?');
}

/** Throws a ShapeError with the four parts in the standard wording. */
export function expectShape(
  condition: boolean,
  at: string,
  expected: string,
  got: TensorType | string,
): void {
  if (condition) return;
  throw new ShapeError({
    where: at,
    expected,
    got: typeof got === 'string' ? got : typeText(got),
    todo: 'Check the shapes that flow into this node',
  });
}
