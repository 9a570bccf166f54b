/* gemm_tile_neon.h - the inner loop of gemm.c's register tile on 64-bit Arm, for a left-hand side
 * whose rows lie side by side: packed, or transposed and read in place.
 *
 * `fmla v.4s, v.4s, v.s[lane]` multiplies by one element of a register, so that four rows of the
 * left-hand side take one load and nothing is broadcast. A broadcast load (ld1r) or a dup would take
 * one of the two vector pipes from the multiply-adds.
 */
#ifndef THIMBLE_GEMM_TILE_NEON_H
#define THIMBLE_GEMM_TILE_NEON_H

#include "simd.h"

/* Registers for one operand: at most so many vectors of a row, or groups of LANES rows. */
#define NEON_MOST 6

/* sum + right * left[lane]; the instruction needs a literal. */
ALWAYS_INLINE vf fma_lane(vf sum, vf right, vf left, i32 lane) {
  const float32x4_t s = (float32x4_t)sum, r = (float32x4_t)right, l = (float32x4_t)left;
  switch (lane) {
    case 0: return (vf)vfmaq_laneq_f32(s, r, l, 0);
    case 1: return (vf)vfmaq_laneq_f32(s, r, l, 1);
    case 2: return (vf)vfmaq_laneq_f32(s, r, l, 2);
    default: return (vf)vfmaq_laneq_f32(s, r, l, 3);
  }
}

/* The first of the four rows that are loaded together with row i: the last four overlap those
 * before, so that nothing beyond `rows` is read. */
ALWAYS_INLINE i32 first_lane(i32 rows, i32 i) {
  return i / LANES * LANES + LANES <= rows ? i / LANES * LANES : rows - LANES;
}

/* sum[i][v] += a[p * col + i] * b[p * ldb + v] over p < k, for LANES <= i < rows, v < vectors;
 * sum has `stride` vectors in a row. */
ALWAYS_INLINE void tile_lanes(i32 rows, i32 vectors, i64 k, const float *a, i64 col, const float *b,
                              i64 ldb, vf *sum, i32 stride) {
  for (i64 p = 0; p < k; p++) {
    vf right[NEON_MOST], left[NEON_MOST];
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) right[v] = vf_load(b + v * LANES);
    UNROLL_LOOP for (i32 i = 0; i < rows; i += LANES) {
      left[i / LANES] = vf_load(a + first_lane(rows, i));
    }
    UNROLL_LOOP for (i32 i = 0; i < rows; i++) {
      UNROLL_LOOP for (i32 v = 0; v < vectors; v++) {
        vf *to = sum + i * stride + v;
        *to = fma_lane(*to, right[v], left[i / LANES], i - first_lane(rows, i));
      }
    }
    a += col;
    b += ldb;
  }
}

#endif
