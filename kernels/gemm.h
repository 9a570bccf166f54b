/* gemm.h - the matrix product as building blocks; gemm.c has the kernel and says how it works.
 *
 * A Matrix is a view: element (i, j) is data[i * row + j * col]; swap row and col to transpose.
 * A right-hand side is packed into panels of TILE_COLS columns (panel by panel, row by row within a
 * panel, the last panel padded with anything) and may then be used for many left-hand sides.
 * Every output element is one chain acc = fma(a, b, acc) over k from zero, in every tile shape and
 * position; so how the output is cut into tiles never shows in the bits.
 */
#ifndef THIMBLE_GEMM_H
#define THIMBLE_GEMM_H

#include "simd.h"

/* The register tile: TILE_ROWS x TILE_VECTORS accumulators, and TILE_VECTORS + 1 for operands. */
#if LANES == 16
#define TILE_ROWS 14
#elif LANES == 8
#define TILE_ROWS 6
#elif defined(__aarch64__) /* 32 registers; bench/results/arm64.md says why 12 */
#ifndef TILE_ROWS
#define TILE_ROWS 12
#endif
#else
#define TILE_ROWS 4
#endif
#define TILE_VECTORS 2
#define TILE_COLS (TILE_VECTORS * LANES)
/* Floats from one k to the next in a packed row of tiles: whole vectors. */
#define TILE_STRIDE ((TILE_ROWS + LANES - 1) / LANES * LANES)

/* A block of the right-hand side stays in the second-level cache: at most BLOCK_FLOATS, of at most
 * BLOCK_K rows. */
#define BLOCK_K 384
#define BLOCK_FLOATS (BLOCK_K * 320)
/* Up to this many columns a tile's rows are read where they are: packing them would not pay. */
#if defined(__aarch64__) || defined(__wasm__)
#define UNPACKED_N (2 * TILE_COLS) /* their inner loops want packed rows: wasm.h, gemm_tile_neon.h */
#define UNPACKED_HOT_N UNPACKED_N
#else
#define UNPACKED_N (LANES == 4 ? 32 : 64)
#define UNPACKED_HOT_N 0x7fffffff /* where they are in a cache already */
#endif
/* Rows of tiles that are packed at a time where a's columns are its neighbours in memory. */
#define MOST_BANDS 8

/* What one thread needs: a packed block, a packed row of tiles, a tile for edges and epilogues. */
#define GEMM_SCRATCH_FLOATS \
  (BLOCK_FLOATS + BLOCK_K * TILE_STRIDE + LANES + TILE_ROWS * TILE_COLS)
#define GEMM_SCRATCH_BYTES (512 * 1024)
_Static_assert(GEMM_SCRATCH_FLOATS * 4 <= GEMM_SCRATCH_BYTES, "blocks exceed the promised scratch");

typedef struct {
  const float *data;
  i64 row, col;
} Matrix;

/* What begins at (i, j). */
static inline Matrix matrix_at(Matrix x, i64 i, i64 j) {
  return (Matrix){x.data + i * x.row + j * x.col, x.row, x.col};
}

/* Memory that is read next, [rows, cols] of x; no rows: none. A product prefetches it while it
 * works, since reading it otherwise would wait for every line. */
typedef struct {
  Matrix x;
  i64 rows, cols;
} NextRead;

/* Floats that gemm_pack writes for a [k, n] right-hand side. */
static inline i64 gemm_packed_floats(i64 k, i64 n) {
  return (n + TILE_COLS - 1) / TILE_COLS * TILE_COLS * k;
}
/* Floats of scratch that gemm_panels needs. */
static inline i64 gemm_row_floats(i64 k) { return TILE_STRIDE * k + LANES + TILE_ROWS * TILE_COLS; }

/* panels = packed b, b is [k, n]. */
void SUFFIX(gemm_pack)(float *panels, Matrix b, i64 k, i64 n);

/* c[m, n] = alpha * a[m, k] * panels + (accumulate ? c : 0); rows of c are ldc floats apart. a is
 * expected to be in a cache. Prefetches `after` meanwhile. */
void SUFFIX(gemm_panels)(i64 m, i64 n, i64 k, Matrix a, const float *panels, float *c, i64 ldc,
                         float alpha, i32 accumulate, NextRead after, float *scratch);

/* c[m, n] = alpha * a[m, k] * b[k, n] + (accumulate ? c : 0) in GEMM_SCRATCH_BYTES of scratch. */
void SUFFIX(gemm_serial)(i64 m, i64 n, i64 k, Matrix a, Matrix b, float *c, i64 ldc, float alpha,
                         i32 accumulate, float *scratch);

#endif
