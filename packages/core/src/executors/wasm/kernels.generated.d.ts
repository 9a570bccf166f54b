/** Shape of kernels.generated.js, which scripts/build/wasm.ts writes: modules as base64. */

/** Kernels for WebAssembly SIMD. */
export const simd: string;
/** The same kernels with relaxed SIMD (fused multiply-add). */
export const relaxedSimd: string;
/** Names of the ops that the kernels were built for; the position (from 1) is the opcode. */
export const ops: readonly string[];
