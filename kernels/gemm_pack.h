/* gemm_pack.h - packing of gemm.c: rows or columns of a matrix laid side by side in panels, as the
 * register tile reads them.
 */
#ifndef THIMBLE_GEMM_PACK_H
#define THIMBLE_GEMM_PACK_H

#include "gemm.h"

/* LANES x LANES: log2(LANES) times, interleave the upper half of the rows with the lower. */
#ifdef __clang__
#define INTERLEAVE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define INTERLEAVE(a, b, ...) __builtin_shuffle(a, b, (vi){__VA_ARGS__})
#endif
#if LANES == 16
#define LOW(a, b) INTERLEAVE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) INTERLEAVE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define LOW(a, b) INTERLEAVE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) INTERLEAVE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define LOW(a, b) INTERLEAVE(a, b, 0, 4, 1, 5)
#define HIGH(a, b) INTERLEAVE(a, b, 2, 6, 3, 7)
#endif

ALWAYS_INLINE void transpose(vf x[LANES]) {
  UNROLL_LOOP for (i32 round = 1; round < LANES; round *= 2) {
    vf y[LANES];
    UNROLL_LOOP for (i32 i = 0; i < LANES / 2; i++) {
      y[2 * i] = LOW(x[i], x[i + LANES / 2]);
      y[2 * i + 1] = HIGH(x[i], x[i + LANES / 2]);
    }
    UNROLL_LOOP for (i32 i = 0; i < LANES; i++) x[i] = y[i];
  }
}

/* Vectors run along k: out[p * width + i] = data[i * stride + p] for i < count, p < k. Writes LANES
 * floats per p, copies of the last row beyond count; p ascends over what p - 1 spilled. */
ALWAYS_INLINE void pack_across(float *out, i64 width, const float *data, i64 stride, i64 count,
                               i64 k) {
  const float *row[LANES];
  vf x[LANES];
  i64 p = 0;
  UNROLL_LOOP for (i32 i = 0; i < LANES; i++) row[i] = data + (i < count ? i : count - 1) * stride;
  for (; p + LANES <= k; p += LANES) {
    UNROLL_LOOP for (i32 i = 0; i < LANES; i++) x[i] = vf_load(row[i] + p);
    transpose(x);
    UNROLL_LOOP for (i32 j = 0; j < LANES; j++) vf_store(out + (p + j) * width, x[j]);
  }
  if (p == k) return;
  UNROLL_LOOP for (i32 i = 0; i < LANES; i++) x[i] = vf_load_part(row[i] + p, k - p);
  transpose(x);
  UNROLL_LOOP for (i32 j = 0; j < LANES; j++) {
    if (p + j < k) vf_store(out + (p + j) * width, x[j]);
  }
}

/* Vectors run along the panel: out[p * width + i] = data[p * stride + i]. */
ALWAYS_INLINE void pack_along(float *out, i64 width, const float *data, i64 stride, i64 count,
                              i64 k) {
  if (count >= LANES) {
    for (i64 p = 0; p < k; p++) vf_store(out + p * width, vf_load(data + p * stride));
  } else {
    for (i64 p = 0; p < k; p++) {
      vf_store(out + p * width, vf_load_part(data + p * stride, count));
    }
  }
}

/* out[p * width + i] = x(i, p) for i < count <= width, p < k. Lanes of the last vector beyond count
 * hold anything, vectors beyond it nothing; up to LANES - 1 floats after the panel are changed. */
ALWAYS_INLINE void pack_panel(float *out, i64 width, Matrix x, i64 count, i64 k) {
  for (i64 i = 0; i < count; i += LANES) {
    i64 most = width - i < LANES ? width - i : LANES, valid = count - i < most ? count - i : most;
    const float *data = x.data + i * x.row;
    if (x.col == 1) {
      pack_across(out + i, width, data, x.row, valid, k);
    } else if (x.row == 1) {
      pack_along(out + i, width, data, x.col, valid, k);
    } else {
      for (i64 p = 0; p < k; p++) {
        vf v = {0};
        for (i64 j = 0; j < valid; j++) v[j] = data[j * x.row + p * x.col];
        vf_store(out + i + p * width, v);
      }
    }
  }
}

/* A row after another, so that memory is read as it lies. */
static void pack_rows(float *panels, const float *data, i64 stride, i64 k, i64 n) {
  i64 whole = n / TILE_COLS * TILE_COLS, rest = n - whole;
  for (i64 p = 0; p < k; p++) {
    const float *from = data + p * stride;
    for (i64 j = 0; j < whole; j += TILE_COLS) {
      UNROLL_LOOP for (i32 v = 0; v < TILE_COLS; v += LANES) {
        vf_store(panels + j * k + p * TILE_COLS + v, vf_load(from + j + v));
      }
    }
    for (i64 v = 0; v < rest; v += LANES) {
      const i64 count = rest - v < LANES ? rest - v : LANES;
      vf_store(panels + whole * k + p * TILE_COLS + v, vf_load_part(from + whole + v, count));
    }
  }
}

#endif
