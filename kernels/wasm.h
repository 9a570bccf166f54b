/* wasm.h - inner loops for WebAssembly, written for what V8's optimising compiler makes of them.
 *
 * Read from its machine code (Node 20, --print-wasm-code; x64 has 15 vector registers for it):
 *   - A constant offset of a load is added to the memory's base outside of the loop and kept in a
 *     register: a load is then one instruction, where an index computed with shifts and additions is
 *     two. A handful of distinct offsets fits, more are spilled.
 *   - clang's strength reduction turns constant offsets into additions; OPAQUE hides a pointer's
 *     origin from it.
 *   - Within a block all loads come first, then the arithmetic, accumulator by accumulator. So
 *     accumulators and loaded values must fit into the registers together, and unrolling over k,
 *     which loads more at a time, spills: 4 x 2 with one step is the fastest tile. 6 x 2 and 5 x 2
 *     spill (x0.69 to x0.79 of 4 x 2); 5 x 2 with its left side as one vector and shuffles is as fast.
 *   - A loop also checks for interrupts; an end that is a pointer saves it a counter.
 */
#ifndef THIMBLE_WASM_H
#define THIMBLE_WASM_H

#include "gemm.h"

#define OPAQUE(pointer) __asm__ volatile("" : "+r"(pointer))

/* sum[rows, vectors * LANES] += a b over k; both packed: a by TILE_ROWS, b by TILE_COLS. */
ALWAYS_INLINE void multiply_packed(i32 rows, i32 vectors, i64 k, const float *a, const float *b,
                                   vf sum[TILE_ROWS][TILE_VECTORS]) {
  const float *end = b + (i32)k * TILE_COLS;
  while (b != end) {
    OPAQUE(a);
    OPAQUE(b);
    vf right[TILE_VECTORS];
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) right[v] = vf_load(b + v * LANES);
    UNROLL_LOOP for (i32 i = 0; i < rows; i++) {
      const vf left = vf_splat(a[i]);
      UNROLL_LOOP for (i32 v = 0; v < vectors; v++) sum[i][v] = vf_fma(left, right[v], sum[i][v]);
    }
    a += TILE_ROWS;
    b += TILE_COLS;
  }
}

#endif
