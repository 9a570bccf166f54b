/* double.h - vectors of doubles and the product tile of the factorisations.
 *
 *   vd   DLANES doubles, in as many bytes as a vf: 8 (AVX-512), 4 (AVX2) or 2.
 *
 * Factorisations work in double: a Gram matrix squares the condition number, which single
 * precision does not survive. Their operands and results are floats.
 */
#ifndef THIMBLE_DOUBLE_H
#define THIMBLE_DOUBLE_H

#include "simd.h"

#define DLANES (LANES / 2)

typedef double vd __attribute__((vector_size(DLANES * 8), may_alias));
typedef double vd_unaligned __attribute__((vector_size(DLANES * 8), aligned(8), may_alias));
typedef float half_vf __attribute__((vector_size(DLANES * 4), aligned(4), may_alias));

ALWAYS_INLINE vd vd_load(const double *p) { return *(const vd_unaligned *)p; }
ALWAYS_INLINE void vd_store(double *p, vd x) { *(vd_unaligned *)p = x; }
ALWAYS_INLINE vd vd_splat(double x) { return x - (vd){0}; }

/* DLANES floats as doubles, and back. */
ALWAYS_INLINE vd vd_load_floats(const float *p) {
  return __builtin_convertvector(*(const half_vf *)p, vd);
}
ALWAYS_INLINE void vd_store_floats(float *p, vd x) {
  *(half_vf *)p = __builtin_convertvector(x, half_vf);
}

/* a * b + c; rounded once where the target has a fused instruction, else twice. */
ALWAYS_INLINE vd vd_fma(vd a, vd b, vd c) {
#if LANES == 16
  return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif LANES == 8
  return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__wasm_relaxed_simd__)
  return (vd)__builtin_wasm_relaxed_madd_f64x2(a, b, c);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return (vd)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}

/* Halves are folded, as in vf_sum. */
ALWAYS_INLINE double vd_sum(vd x) {
  UNROLL_LOOP for (i32 half = DLANES / 2; half > 0; half /= 2) {
    UNROLL_LOOP for (i32 i = 0; i < half; i++) x[i] += x[i + half];
  }
  return x[0];
}

/* Sum of x[i] y[i], i < n. */
static inline double dot_doubles(const double *x, const double *y, i64 n) {
  vd sums[4] = {0};
  double rest = 0;
  i64 i = 0;
  for (; i + 4 * DLANES <= n; i += 4 * DLANES) {
    UNROLL_LOOP for (i32 j = 0; j < 4; j++) {
      const i64 at = i + j * DLANES;
      sums[j] = vd_fma(vd_load(x + at), vd_load(y + at), sums[j]);
    }
  }
  for (; i < n; i++) rest += x[i] * y[i];
  return vd_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

/* ---- products ------------------------------------------------------------------------------ */

/* Factorisations go by blocks of BLOCK x BLOCK; a block is a whole number of register tiles. */
#define BLOCK 16
#if LANES == 16
#define DTILE_ROWS 8
#else
#define DTILE_ROWS 4
#endif
#define DTILE_VECTORS 2
#define DTILE_COLS (DTILE_VECTORS * DLANES)

/* A view of doubles, as Matrix in gemm.h. */
typedef struct {
  const double *data;
  i64 row, col;
} DoubleMatrix;

/* sum[DTILE_ROWS, DTILE_COLS] = a b over `depth`; rows of b are ldb doubles apart. */
ALWAYS_INLINE void double_tile(i64 depth, DoubleMatrix a, const double *b, i64 ldb,
                               vd sum[DTILE_ROWS][DTILE_VECTORS]) {
  UNROLL_LOOP for (i32 i = 0; i < DTILE_ROWS; i++) {
    UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) sum[i][v] = (vd){0};
  }
  for (i64 k = 0; k < depth; k++) {
    vd right[DTILE_VECTORS];
    UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) right[v] = vd_load(b + v * DLANES);
    UNROLL_LOOP for (i32 i = 0; i < DTILE_ROWS; i++) {
      const vd left = vd_splat(a.data[i * a.row]);
      UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) {
        sum[i][v] = vd_fma(left, right[v], sum[i][v]);
      }
    }
    a.data += a.col;
    b += ldb;
  }
}

#endif
