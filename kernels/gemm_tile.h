/* gemm_tile.h - the register tile of gemm.c: the sums of TILE_ROWS x TILE_COLS outputs over k, where they
 * go, and what is asked of memory meanwhile.
 */
#ifndef THIMBLE_GEMM_TILE_H
#define THIMBLE_GEMM_TILE_H

#include "prefetch.h"
#include "gemm.h"
#if defined(__aarch64__)
#include "gemm_tile_neon.h"
#elif defined(__wasm__)
#include "wasm.h"
#endif

/* Where a product goes: y = gelu?(alpha * product + partial + bias) + residual. */
typedef struct {
  float *y, *pre;                         /* [m, ld]; pre may be null */
  const float *bias, *residual, *partial; /* [n], [m, ld], [m, partial_ld]; each may be null */
  i64 ld, partial_ld;
  float alpha;
  i32 gelu;
} Output;

/* The part of the output that begins at row i and column j. */
static Output output_at(const Output *out, i64 i, i64 j) {
  const i64 at = i * out->ld + j;
  Output part = *out;
  part.y += at;
  if (out->pre) part.pre += at;
  if (out->bias) part.bias += j;
  if (out->residual) part.residual += at;
  if (out->partial) part.partial += i * out->partial_ld + j;
  return part;
}

#define FOR_TILE(i, v)                       \
  UNROLL_LOOP for (i32 i = 0; i < rows; i++) \
  UNROLL_LOOP for (i32 v = 0; v < vectors; v++)

/* What is packed of b and of a behind the block at hand. */
typedef struct {
  Prefetch b, a;
} NextBlock;

/* What a tile prefetches: the rows of a that are packed next, what the next block takes, and the
 * lines of the output's part that it belongs to, which are there when the sums are done. */
typedef struct {
  Prefetch group;
  NextBlock next;
  const Output *to;
} TilePrefetch;

#define PREFETCH_ROW(row, write) \
  UNROLL_LOOP for (i32 v = 0; v < vectors; v++) __builtin_prefetch((row) + v * LANES, write)

/* At the turn before step p of k: rows [2 turn, 2 turn + 2) of the output. */
ALWAYS_INLINE void prefetch_tile(TilePrefetch *prefetch, i32 rows, i32 vectors, i64 p) {
  const Output *to = prefetch->to;
  for (i64 i = p / PREFETCH_STEPS * 2, end = i + 2; i < end && i < rows; i++) {
    PREFETCH_ROW(to->y + i * to->ld, 1);
    if (to->pre) {
      PREFETCH_ROW(to->pre + i * to->ld, 1);
    }
    if (to->residual) {
      PREFETCH_ROW(to->residual + i * to->ld, 0);
    }
  }
  prefetch_turn(&prefetch->group);
  prefetch_turn(&prefetch->next.b);
  prefetch_turn(&prefetch->next.a);
}

/* sum = a * b; a(i, p) is a[i * row + p * col], b is a panel. */
ALWAYS_INLINE void tile_sums(i32 rows, i32 vectors, i64 k, const float *a, i64 row, i64 col,
                             const float *b, vf sum[TILE_ROWS][TILE_VECTORS],
                             TilePrefetch *prefetch) {
  FOR_TILE(i, v) sum[i][v] = vf_zero();
  i64 p = 0, turn = 0;
#if defined(__aarch64__)
  if (row == 1 && rows >= LANES) {
    for (; turn < k; turn += PREFETCH_STEPS) prefetch_tile(prefetch, rows, vectors, turn);
    tile_lanes(rows, vectors, k, a, col, b, TILE_COLS, sum[0], TILE_VECTORS);
    p = k;
  }
#elif defined(__wasm__)
  if (row == 1 && col == TILE_STRIDE) {
    multiply_packed(rows, vectors, k, a, b, sum);
    p = k;
  }
#endif
  for (; p < k; p++) {
    if (CAN_PREFETCH && p == turn) {
      turn += PREFETCH_STEPS;
      prefetch_tile(prefetch, rows, vectors, p);
    }
    vf right[TILE_VECTORS];
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) right[v] = vf_load(b + v * LANES);
    UNROLL_LOOP for (i32 i = 0; i < rows; i++) {
#ifdef VF_FMA_LOAD
      if (i % 2 == 0) {
        UNROLL_LOOP for (i32 v = 0; v < vectors; v++) VF_FMA_LOAD(sum[i][v], right[v], a[i * row]);
        continue;
      }
#endif
      vf left = vf_splat(a[i * row]);
      UNROLL_LOOP for (i32 v = 0; v < vectors; v++) sum[i][v] = vf_fma(left, right[v], sum[i][v]);
    }
    a += col;
    b += TILE_COLS;
  }
}

/* Everything of the output but gelu, on whole vectors. */
ALWAYS_INLINE void tile_output(i32 rows, i32 vectors, vf sum[TILE_ROWS][TILE_VECTORS],
                               const Output *out) {
  const vf alpha = vf_splat(out->alpha);
  FOR_TILE(i, v) sum[i][v] *= alpha;
  if (out->partial) {
    FOR_TILE(i, v) sum[i][v] += vf_load(out->partial + i * out->partial_ld + v * LANES);
  }
  if (out->bias) {
    FOR_TILE(i, v) sum[i][v] += vf_load(out->bias + v * LANES);
  }
  if (out->pre) {
    FOR_TILE(i, v) vf_store(out->pre + i * out->ld + v * LANES, sum[i][v]);
  }
  if (out->residual) {
    FOR_TILE(i, v) sum[i][v] += vf_load(out->residual + i * out->ld + v * LANES);
  }
  FOR_TILE(i, v) vf_store(out->y + i * out->ld + v * LANES, sum[i][v]);
}

ALWAYS_INLINE void tile(i32 rows, i32 vectors, i64 k, const float *a, i64 row, i64 col,
                        const float *b, const Output *out, TilePrefetch *prefetch) {
  vf sum[TILE_ROWS][TILE_VECTORS];
  tile_sums(rows, vectors, k, a, row, col, b, sum, prefetch);
  tile_output(rows, vectors, sum, out);
}

typedef void TileFunction(i64 k, const float *a, i64 row, i64 col, const float *b,
                          const Output *out, TilePrefetch *prefetch);
/* In a packed row of tiles all steps are constants: no address is computed. */
#define TILE(rows, vectors)                                                                      \
  static void tile_##rows##x##vectors(i64 k, const float *a, i64 row, i64 col, const float *b,   \
                                      const Output *out, TilePrefetch *prefetch) {               \
    tile(rows, vectors, k, a, row, col, b, out, prefetch);                                       \
  }                                                                                              \
  static void packed_##rows##x##vectors(i64 k, const float *a, i64 row, i64 col, const float *b, \
                                        const Output *out, TilePrefetch *prefetch) {             \
    (void)row, (void)col;                                                                        \
    tile(rows, vectors, k, a, 1, TILE_STRIDE, b, out, prefetch);                                 \
  }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2)
#define ENTRY(rows) {{tile_##rows##x1, tile_##rows##x2}, {packed_##rows##x1, packed_##rows##x2}}
TILES(1) TILES(2) TILES(3) TILES(4)
#if TILE_ROWS > 4
TILES(5) TILES(6)
#endif
#if TILE_ROWS > 6
TILES(7) TILES(8)
#endif
#if TILE_ROWS > 8
TILES(9) TILES(10) TILES(11) TILES(12)
#endif
#if TILE_ROWS > 12
TILES(13) TILES(14)
#endif
/* By rows, whether they are packed, and vectors. */
static TileFunction *const tile_functions[TILE_ROWS][2][TILE_VECTORS] = {
    ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),
#if TILE_ROWS > 4
    ENTRY(5), ENTRY(6),
#endif
#if TILE_ROWS > 6
    ENTRY(7), ENTRY(8),
#endif
#if TILE_ROWS > 8
    ENTRY(9), ENTRY(10), ENTRY(11), ENTRY(12),
#endif
#if TILE_ROWS > 12
    ENTRY(13), ENTRY(14),
#endif
};

#endif
