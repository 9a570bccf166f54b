/**
 * Tensor types of the IR: element type and static shape. Every shape is known when a graph is built, so
 * every byte can be placed before the first step runs.
 */

/**
 * Element types. f32 also stands for "real number": the reference executor holds it in float64. i8 is
 * what saved tensors are stored in, never computed with (ops/quantise.ts).
 */
export type DType = 'f32' | 'i32' | 'i8';

/** Dimensions, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** The type of a value: `f32[8,197,192]`. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Contents of a tensor on the host; reals come back as float64 from the reference executor only. */
export type HostData = Float32Array | Float64Array | Int32Array | Int8Array;

/** Bytes of one element on every executor that has an arena. */
export const DTYPE_BYTES = { f32: 4, i32: 4, i8: 1 } as const satisfies Record<DType, number>;

/** The type of a tensor of 32-bit floats with these extents; a scalar without any. */
export function f32(...shape: readonly number[]): TensorType {
  return { dtype: 'f32', shape };
}

/** The type of a tensor of 32-bit integers with these extents. */
export function i32(...shape: readonly number[]): TensorType {
  return { dtype: 'i32', shape };
}

/** The type of a tensor of 8-bit integers with these extents. */
export function i8(...shape: readonly number[]): TensorType {
  return { dtype: 'i8', shape };
}

/** Number of elements; 1 for a scalar. */
export function elements(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Bytes of a tensor of this type, without alignment. */
export function bytesOf(type: TensorType): number {
  return elements(type.shape) * DTYPE_BYTES[type.dtype];
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

export function sameType(a: TensorType, b: TensorType): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

/** `f32[2,3]`, the form used in printed graphs and in errors. */
export function typeText(type: TensorType): string {
  return `${type.dtype}[${type.shape.join(',')}]`;
}
