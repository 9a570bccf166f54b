/** ONNX nodes as short calls; shapes are lists of numbers, values are names. */
import { Emission, float, int, ints, MICROSOFT, type Attribute } from '@thimble/onnx';

/** alpha · op(a) op(b) + beta · c */
interface Product {
  readonly alpha?: number;
  readonly beta?: number;
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** Gemm only: what is added, repeated over the rows where it is one row. */
  readonly c?: string;
}

export class Emitter {
  readonly emission = new Emission();
  /** What the nodes that follow are called after. */
  scope = '';

  op(name: string, inputs: readonly string[], attributes: Record<string, Attribute> = {}): string {
    return this.ops(name, inputs, attributes, 1)[0];
  }

  ops(
    name: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute>,
    count: number,
  ): readonly string[] {
    return this.emission.node(this.scope, name, inputs, attributes, count);
  }

  /** A product of matrices. */
  gemm(a: string, b: string, product: Product = {}): string {
    const { alpha = 1, beta = 1, c } = product;
    const attributes = { alpha: float(alpha), beta: float(beta), ...transposes(product) };
    return this.op('Gemm', c === undefined ? [a, b] : [a, b, c], attributes);
  }

  /** A product of the last two axes, for each of the others. */
  batched(a: string, b: string, product: Omit<Product, 'c' | 'beta'> = {}): string {
    const attributes = { alpha: float(product.alpha ?? 1), ...transposes(product) };
    const inputs = [a, b];
    return this.emission.node(this.scope, 'FusedMatMul', inputs, attributes, 1, MICROSOFT)[0];
  }

  add(a: string, b: string): string {
    return this.op('Add', [a, b]);
  }

  sub(a: string, b: string): string {
    return this.op('Sub', [a, b]);
  }

  mul(a: string, b: string): string {
    return this.op('Mul', [a, b]);
  }

  reshape(x: string, ...shape: readonly number[]): string {
    return this.op('Reshape', [x, this.ints(...shape)]);
  }

  transpose(x: string, ...order: readonly number[]): string {
    return this.op('Transpose', [x], { perm: ints(...order) });
  }

  expand(x: string, ...shape: readonly number[]): string {
    return this.op('Expand', [x, this.ints(...shape)]);
  }

  /** Elements start ≤ i < end along one axis. */
  slice(x: string, axis: number, start: number, end: number): string {
    return this.op('Slice', [x, this.ints(start), this.ints(end), this.ints(axis)]);
  }

  /** The sum over one axis, which stays with extent 1 unless it is dropped. */
  sum(x: string, axis: number, keep: 'keep' | 'drop' = 'drop'): string {
    return this.op('ReduceSum', [x, this.ints(axis)], { keepdims: int(keep === 'keep' ? 1 : 0) });
  }

  /** The mean over the last axis of a matrix, as a column. */
  rowMean(x: string): string {
    return this.op('ReduceMean', [x], { axes: ints(-1), keepdims: int(1) });
  }

  scalar(value: number): string {
    const read = () => Float32Array.of(value);
    return this.emission.constant(`scalar/${String(value)}`, 'float32', [], read);
  }

  ints(...values: readonly number[]): string {
    const read = () => BigInt64Array.from(values, BigInt);
    return this.emission.constant(`ints/${values.join('x')}`, 'int64', [values.length], read);
  }
}

function transposes({ transA = false, transB = false }: Product): Record<string, Attribute> {
  return { transA: int(transA ? 1 : 0), transB: int(transB ? 1 : 0) };
}
