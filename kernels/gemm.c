/* gemm.c - matrix product on one thread and the matmul step on all of them.
 *
 * Packed-panel product after Goto and van de Geijn, "Anatomy of High-Performance Matrix
 * Multiplication" (2008), with one packed level fewer, because scratch is dear on small devices:
 *   for blocks of n and k:    pack a block of b into panels               second-level cache
 *     for rows of tiles:      pack TILE_ROWS rows of a's block            first-level cache
 *       for panels:           the register tile streams over k            registers
 * Rows are cut into tiles of nearly equal height (1 .. TILE_ROWS), so an odd number of rows costs
 * little. Bias, residual and partial sums are added in registers; edges and GELU go through a small
 * tile in scratch. Packing, tile, blocks and the step share their types and inlined parts, so they
 * are one file.
 *
 * A first version, measured on one core of a quiet Xeon with AVX-512, medians of several runs:
 * GFLOP/s and share of the peak, which is that of a multiply-add loop in the same run (test/bench.c;
 * wasm is Node 20). bench/kernels/history.md has what came of it since, as ratios.
 *                        AVX-512     AVX2       SSE2       wasm       relaxed
 *   NN 1024x1024x1024    142 80 %    76 94 %    26 82 %    31 97 %    35 82 %
 *   NT 1576x192x192      147 82 %    76 93 %    26 82 %    32 98 %    37 88 %
 *   NN 1576x768x192      153 86 %    78 96 %    26 83 %    31 97 %    36 87 %
 *   TN 768x192x1576      137 77 %    74 91 %    26 81 %    30 94 %    35 83 %
 */
#include "prefetch.h"
#include "gemm.h"
#include "kernels.h"
#include "math.h"
#include "program.h"
#include "rows.h"
#if defined(__aarch64__)
#include "gemm_tile_neon.h"
#elif defined(__wasm__)
#include "wasm.h"
#endif

/* ---- packing ------------------------------------------------------------------------------- */

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

void SUFFIX(gemm_pack)(float *panels, Matrix b, i64 k, i64 n) {
  Matrix columns = {b.data, b.col, b.row};
  if (b.col == 1) {
    pack_rows(panels, b.data, b.row, k, n);
    return;
  }
  for (i64 j = 0; j < n; j += TILE_COLS) {
    i64 count = n - j < TILE_COLS ? n - j : TILE_COLS;
    columns.data = b.data + j * b.col;
    pack_panel(panels + j * k, TILE_COLS, columns, count, k);
  }
}

/* ---- the register tile --------------------------------------------------------------------- */

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

/* ---- panels and epilogue ------------------------------------------------------------------- */

/* Epilogue and store of `rows` x `n` vectors that are in scratch, `lanes` of the last one. */
ALWAYS_INLINE void finish_vectors(i32 rows, i32 n, const Output *out, const float *tile, i64 at_row,
                                  i64 at_col, i64 lanes) {
  vf x[EACH_VECTORS];
  const i32 vectors = n / rows;
  tile += at_row * TILE_COLS + at_col;
  EACH x[i] = vf_load(tile + i / vectors * TILE_COLS + i % vectors * LANES);
#define AT(ld) ((at_row + i / vectors) * (ld) + at_col + i % vectors * LANES)
  if (out->partial) {
    EACH x[i] += vf_load_part(out->partial + AT(out->partial_ld), lanes);
  }
  if (out->bias) {
    EACH x[i] += vf_load_part(out->bias + at_col + i % vectors * LANES, lanes);
  }
  if (out->pre) {
    EACH vf_store_part(out->pre + AT(out->ld), x[i], lanes);
  }
  if (out->gelu) vf_gelu_each(n, x, x, 0);
  if (out->residual) {
    EACH x[i] += vf_load_part(out->residual + AT(out->ld), lanes);
  }
  EACH vf_store_part(out->y + AT(out->ld), x[i], lanes);
#undef AT
}

/* Epilogue and store of a tile that is in scratch, `rows` x `cols`. */
static void finish_tile(const Output *out, const float *tile, i64 rows, i64 cols) {
  enum { HEIGHT = EACH_VECTORS / TILE_VECTORS };
  i64 i = 0;
  for (; cols == TILE_COLS && i + HEIGHT <= rows; i += HEIGHT) {
    finish_vectors(HEIGHT, EACH_VECTORS, out, tile, i, 0, LANES);
  }
  for (; i < rows; i++) {
    for (i64 j = 0; j < cols; j += LANES) {
      finish_vectors(1, 1, out, tile, i, j, cols - j < LANES ? cols - j : LANES);
    }
  }
}

/* The rows of a product in bands of nearly equal height, and those of them that are packed. */
typedef struct {
  i64 rows, count; /* of bands */
  i64 group;       /* bands that are packed together */
} Bands;

static i64 band_begin(const Bands *bands, i64 band) { return bands->rows * band / bands->count; }

/* Packs the bands from `first` on, up to a group of them, k * TILE_STRIDE floats each. */
static void pack_bands(float *packed, Matrix a, i64 k, const Bands *bands, i64 first) {
  i64 end = first + bands->group < bands->count ? first + bands->group : bands->count;
  if (a.row != 1 || LANES < TILE_ROWS) {
    for (i64 band = first; band < end; band++, packed += k * TILE_STRIDE) {
      i64 i = band_begin(bands, band), rows = band_begin(bands, band + 1) - i;
      pack_panel(packed, TILE_STRIDE, matrix_at(a, i, 0), rows, k);
    }
    return;
  }
  /* Neighbours in memory belong to several bands: a row after another, as it lies. */
  i64 begin[MOST_BANDS + 1], count = end - first;
  for (i64 band = 0; band <= count; band++) begin[band] = band_begin(bands, first + band);
  for (i64 p = 0; p < k; p++) {
    const float *row = a.data + p * a.col;
    for (i64 band = 0; band < count; band++) {
      const vf x = vf_load_part(row + begin[band], begin[band + 1] - begin[band]);
      vf_store(packed + (band * k + p) * TILE_STRIDE, x);
    }
  }
}

/* The bands that are packed after the group of `band`; none after the last. */
static NextRead next_group(Matrix a, i64 k, const Bands *bands, i64 band) {
  const i64 first = band + bands->group, last = first + bands->group;
  if (first >= bands->count) return (NextRead){0};
  const i64 i = band_begin(bands, first);
  const i64 end = band_begin(bands, last < bands->count ? last : bands->count);
  return (NextRead){matrix_at(a, i, 0), end - i, k};
}

/* out = a[m, k] * panels; `room`, at least gemm_row_floats(k), are the floats of scratch. Up to
 * `unpacked_n` columns a's rows are read where they are. Prefetches `next`, which may be null, and,
 * with the last rows, `after`. */
static void multiply_panels(i64 m, i64 n, i64 k, Matrix a, const float *panels, const Output *out,
                            float *scratch, i64 room, i64 unpacked_n, NextRead after,
                            NextBlock *next) {
  float *edge = scratch, *packed = scratch + TILE_ROWS * TILE_COLS;
  const Output aside = {.y = edge, .ld = TILE_COLS, .alpha = out->alpha};
  Bands bands = {m, (m + TILE_ROWS - 1) / TILE_ROWS, 1};
  if (a.row == 1 && k > 0) bands.group = (room - TILE_ROWS * TILE_COLS - LANES) / (k * TILE_STRIDE);
  if (bands.group > MOST_BANDS) bands.group = MOST_BANDS;
  /* Rows at multiples of 2 KiB would share a few sets of the first-level cache. */
  i32 unpacked = n <= unpacked_n && a.row % 512 != 0 && a.col % 512 != 0;
  const i64 tiles = bands.group * ((n + TILE_COLS - 1) / TILE_COLS);
  TilePrefetch prefetch = {0};
  if (next) prefetch.next = *next;
  for (i64 band = 0; band < bands.count; band++) {
    i64 i = band_begin(&bands, band), rows = band_begin(&bands, band + 1) - i;
    const float *left = a.data + i * a.row;
    if (!unpacked) {
      if (band % bands.group == 0) {
        pack_bands(packed, a, k, &bands, band);
        const NextRead group = next_group(a, k, &bands, band);
        prefetch.group = prefetch_during(group.rows ? group : after, tiles, k);
      }
      left = packed + band % bands.group * k * TILE_STRIDE;
    }
    for (i64 j = 0; j < n; j += TILE_COLS) {
      i64 cols = n - j < TILE_COLS ? n - j : TILE_COLS, vectors = (cols + LANES - 1) / LANES;
      TileFunction *function = tile_functions[rows - 1][!unpacked][vectors - 1];
      const Output part = output_at(out, i, j);
      prefetch.to = &part;
      if (cols == vectors * LANES && !out->gelu) {
        function(k, left, a.row, a.col, panels + j * k, &part, &prefetch);
      } else {
        function(k, left, a.row, a.col, panels + j * k, &aside, &prefetch);
        finish_tile(&part, edge, rows, cols);
      }
    }
  }
  if (next) *next = prefetch.next;
}

void SUFFIX(gemm_panels)(i64 m, i64 n, i64 k, Matrix a, const float *panels, float *c, i64 ldc,
                         float alpha, i32 accumulate, NextRead after, float *scratch) {
  const float *partial = accumulate ? c : 0;
  Output out = {.y = c, .partial = partial, .ld = ldc, .partial_ld = ldc, .alpha = alpha};
  const i64 tiles = (m + TILE_ROWS - 1) / TILE_ROWS * ((n + TILE_COLS - 1) / TILE_COLS);
  NextBlock next = {.b = prefetch_during(after, tiles, k)};
  multiply_panels(m, n, k, a, panels, &out, scratch, gemm_row_floats(k), UNPACKED_HOT_N,
                  (NextRead){0}, &next);
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* Columns of a block whose sums wait aside, beside it: both fit in BLOCK_FLOATS. */
#define ASIDE_COLS (BLOCK_FLOATS / BLOCK_K / 2)
_Static_assert(ASIDE_COLS % TILE_COLS == 0 && TILE_ROWS <= BLOCK_K, "no room for the sums aside");

/* What the block of k does to its part of the output at `at` (row) and `j` (column). Between blocks
 * the sums wait in y, or aside; partial, bias and residual enter with the first block, but a
 * residual after a gelu with the last. */
static Output block_output(const Output *out, i64 at, i64 j, i32 first, i32 last, float *aside) {
  Output part = {.alpha = out->alpha, .ld = out->ld, .partial_ld = out->ld};
  part.y = out->y + at;
  if (first) {
    if (out->partial) part.partial = out->partial + at;
    if (out->bias) part.bias = out->bias + j;
  } else {
    part.partial = part.y;
  }
  if (aside && !first) part.partial = aside, part.partial_ld = ASIDE_COLS;
  if (aside && !last) part.y = aside, part.ld = ASIDE_COLS;
  if (last && out->pre) part.pre = out->pre + at;
  if (last) part.gelu = out->gelu;
  if ((out->gelu ? last : first) && out->residual) part.residual = out->residual + at;
  return part;
}

/* One product: its operands, where it goes, and the scratch of this thread. */
typedef struct {
  i64 n, k, blocks; /* of k */
  Matrix a, b;
  Output out;
  float *panels, *aside;
  NextRead after; /* what the next product packs first */
} Product;

static i64 block_begin(const Product *of, i64 block) { return of->k * block / of->blocks; }

static i64 block_depth(const Product *of, i64 block) {
  return block_begin(of, block + 1) - block_begin(of, block);
}

/* Rows [begin, end) of a block of a, no more than are packed at a time. */
static NextRead some_rows(const Product *of, i64 block, i64 begin, i64 end) {
  const i64 most = of->a.row == 1 ? MOST_BANDS * TILE_ROWS : TILE_ROWS, rows = end - begin;
  const Matrix a = matrix_at(of->a, begin, block_begin(of, block));
  return (NextRead){a, rows < most ? rows : most, block_depth(of, block)};
}

/* Columns [j, j + step) of a block of b, as far as there are any. */
static NextRead some_columns(const Product *of, i64 block, i64 j, i64 step) {
  const Matrix b = matrix_at(of->b, block_begin(of, block), j);
  return (NextRead){b, block_depth(of, block), of->n - j < step ? of->n - j : step};
}

static void pack_block(const Product *of, i64 block, i64 j, i64 cols) {
  SUFFIX(gemm_pack)(of->panels, some_columns(of, block, j, cols).x, block_depth(of, block), cols);
}

/* What is packed after this block, prefetched while `rows` rows from `begin` on are multiplied. */
static NextBlock next_block(const Product *of, i64 block, i64 j, i64 n_step, i64 begin, i64 rows) {
  const i64 n = of->n, cols = n - j < n_step ? n - j : n_step;
  const i64 tiles = (rows + TILE_ROWS - 1) / TILE_ROWS * ((cols + TILE_COLS - 1) / TILE_COLS);
  if (++block == of->blocks) block = 0, j += n_step;
  if (j >= n) return (NextBlock){.b = prefetch_during(of->after, tiles, of->k / of->blocks)};
  const i64 depth = block_depth(of, block);
  return (NextBlock){prefetch_during(some_columns(of, block, j, n_step), tiles, depth),
                     prefetch_during(some_rows(of, block, begin, begin + rows), tiles, depth)};
}

/* Rows [i, end) of the block that is packed; `after` rows will probably follow. */
static void multiply_block(const Product *of, i64 block, i64 i, i64 end, i64 after, i64 j, i64 cols,
                           NextBlock *next) {
  const i64 depth = block_depth(of, block);
  const Matrix a = matrix_at(of->a, i, block_begin(of, block));
  const Output part =
      block_output(&of->out, i * of->out.ld + j, j, block == 0, block == of->blocks - 1, of->aside);
  float *row = of->panels + (of->aside ? BLOCK_FLOATS : gemm_packed_floats(depth, cols));
  multiply_panels(end - i, cols, depth, a, of->panels, &part, row,
                  GEMM_SCRATCH_BYTES / 4 - (row - of->panels), UNPACKED_N,
                  some_rows(of, block, end, end + after), next);
}

static i64 fewest_blocks(i64 k) { return k > 0 ? (k + BLOCK_K - 1) / BLOCK_K : 1; }

/* Columns of a block of `depth` rows: nearly equal parts of n. */
static i64 block_columns(i64 n, i64 depth) {
  const i64 most = BLOCK_FLOATS / (depth > 0 ? depth : 1) / TILE_COLS * TILE_COLS;
  const i64 parts = (n + most - 1) / most;
  return parts > 1 ? round_up((n + parts - 1) / parts, TILE_COLS) : n;
}

/* Into how many blocks to cut k. Wide and shallow blocks pack a less often, narrow and deep ones
 * sweep over the output less often, which costs half as much per float. The cuts show in the bits:
 * they must not depend on anything that differs between threads or rows. */
static i64 best_blocks(i64 n, i64 k) {
  enum { LEAST_K = 96, MOST_TRIED = 16 };
  const i64 fewest = fewest_blocks(k);
  i64 best = fewest, best_cost = -1;
  for (i64 blocks = fewest; blocks < fewest + MOST_TRIED; blocks++) {
    const i64 depth = (k + blocks - 1) / blocks;
    if (blocks > fewest && depth < LEAST_K) break;
    const i64 columns = block_columns(n, depth), parts = (n + columns - 1) / columns;
    const i64 cost = 2 * parts * k + blocks * n;
    if (best_cost < 0 || cost < best_cost) best = blocks, best_cost = cost;
    if (parts == 1) break;
  }
  return best;
}

/* Columns that are multiplied at a time. */
static i64 columns_at_a_time(const Product *of) {
  return of->aside ? ASIDE_COLS : block_columns(of->n, (of->k + of->blocks - 1) / of->blocks);
}

/* The columns from j on, all blocks of k; sweeps over rows are `sweep` and those that follow. */
static void multiply_columns(const Product *of, const Rows *rows, i64 j, i64 sweep) {
  const i64 n_step = columns_at_a_time(of), cols = of->n - j < n_step ? of->n - j : n_step;
  const i64 most = rows->begin < rows->end ? rows->end - rows->begin : rows->m;
  i32 took = 0;
  for (i64 block = 0; block < of->blocks; block++, sweep++) {
    if (rows->own < 0 && !is_worth_stealing(rows, sweep, took)) continue;
    pack_block(of, block, j, cols);
    NextBlock next = next_block(of, block, j, n_step, rows->begin, most);
    for (Span span = {0}; next_span(rows, sweep, &span); took = 1) {
      multiply_block(of, block, span.begin, span.end, span.after, j, cols, &next);
    }
  }
}

/* The same, all blocks for a row of tiles before the next, so that few sums wait aside. */
static void multiply_columns_aside(const Product *of, const Rows *rows, i64 j, i64 sweep) {
  const i64 cols = of->n - j < ASIDE_COLS ? of->n - j : ASIDE_COLS;
  for (Span span = {0}; next_span(rows, sweep, &span);) {
    for (i64 i = span.begin; i < span.end; i += TILE_ROWS) {
      const i64 end = i + TILE_ROWS < span.end ? i + TILE_ROWS : span.end;
      for (i64 block = 0; block < of->blocks; block++) {
        pack_block(of, block, j, cols);
        multiply_block(of, block, i, end, 0, j, cols, 0);
      }
    }
  }
}

/* A whole product. */
static void multiply(const Product *of, const Rows *rows) {
  i64 sweep = 0;
  for (i64 j = 0; j < of->n; j += columns_at_a_time(of)) {
    if (of->aside) {
      multiply_columns_aside(of, rows, j, sweep++);
    } else {
      multiply_columns(of, rows, j, sweep);
      sweep += of->blocks;
    }
  }
}

/* A product in GEMM_SCRATCH_BYTES, k cut into `blocks`; what the packed block leaves of the scratch
 * is for rows of a. Where a residual that shares y's memory has to enter last, the sums wait in the
 * second half of the block's scratch, in smaller blocks. */
static Product product(i64 n, i64 k, i64 blocks, Matrix a, Matrix b, Output out, float *scratch) {
  const i32 aside = blocks > 1 && out.gelu && out.residual == out.y;
  float *sums = aside ? scratch + BLOCK_K * ASIDE_COLS : 0;
  return (Product){n, k, blocks, a, b, out, scratch, sums, {{0}, 0, 0}};
}

void SUFFIX(gemm_serial)(i64 m, i64 n, i64 k, Matrix a, Matrix b, float *c, i64 ldc, float alpha,
                         i32 accumulate, float *scratch) {
  const float *partial = accumulate ? c : 0;
  Output out = {.y = c, .partial = partial, .ld = ldc, .partial_ld = ldc, .alpha = alpha};
  const Product of = product(n, k, fewest_blocks(k), a, b, out, scratch);
  const Rows rows = given_rows(0, m);
  multiply(&of, &rows);
}

/* ---- the step ------------------------------------------------------------------------------ */

typedef struct {
  i64 batch, m, n;
} ThreadGrid; /* threads in each direction */

/* How to lay the threads over [batch, m, n]: the slowest thread's work in multiply-adds, packing
 * counted at 2 * LANES of them per element, is least. */
static ThreadGrid thread_grid(i64 threads, const struct matmul_args *args) {
  ThreadGrid best = {1, 1, 1};
  i64 best_cost = -1, panels = (args->n + TILE_COLS - 1) / TILE_COLS;
  for (i64 over_batch = 1; over_batch <= threads; over_batch++) {
    if (threads % over_batch != 0 || (over_batch > 1 && args->batch == 1)) continue;
    for (i64 over_m = 1; over_m <= threads / over_batch; over_m++) {
      if (threads / over_batch % over_m) continue;
      i64 over_n = threads / over_batch / over_m;
      i64 batches = (args->batch + over_batch - 1) / over_batch;
      i64 rows = (args->m + over_m - 1) / over_m;
      i64 cols = (panels + over_n - 1) / over_n * TILE_COLS;
      i64 cost = batches * args->k * (rows * cols + 2 * LANES * (rows + cols));
      if (best_cost >= 0 && cost >= best_cost) continue;
      best_cost = cost;
      best = (ThreadGrid){over_batch, over_m, over_n};
    }
  }
  return best;
}

/* Rows of m for this thread, the `at`-th of `over`. Where the threads differ in nothing but their
 * rows, they share half of them. */
static Rows rows_of_thread(const Context *ctx, i64 m, i64 at, i64 over) {
  const i64 bands = m / TILE_ROWS;
  if (over < 2 || over != ctx->threads || !ctx->barrier || bands < 4 * over || MOST_SPANS < over) {
    return given_rows(m * at / over, m * (at + 1) / over);
  }
  Rows rows = shared_rows(ctx, m, over, at, bands / (2 * over));
  rows.begin = bands * at / over * TILE_ROWS;
  rows.end = span_begin(&rows, at, 0);
  return rows;
}

/* The product of image `batch`, columns of the `at`-th of `over` threads; may have none. */
static Product product_of(const Context *ctx, const struct matmul_args *args, i64 blocks, i64 batch,
                          i64 at, i64 over) {
  const i64 m = args->m, n = args->n, k = args->k, panels = (n + TILE_COLS - 1) / TILE_COLS;
  const i64 j = panels * at / over * TILE_COLS, end = panels * (at + 1) / over * TILE_COLS;
  const float *a = F32(ctx, args->a) + batch * m * k;
  const float *b = F32(ctx, args->b) + (args->shared_b ? 0 : batch * k * n);
  const Matrix left = args->trans_a ? (Matrix){a, 1, m} : (Matrix){a, k, 1};
  const Matrix right = args->trans_b ? (Matrix){b + j * k, 1, k} : (Matrix){b + j, n, 1};
  const Output out = {.y = F32(ctx, args->y),
                      .pre = F32(ctx, args->pre),
                      .bias = F32(ctx, args->bias),
                      .residual = F32(ctx, args->residual),
                      .ld = n,
                      .partial_ld = n,
                      .alpha = 1.0f,
                      .gelu = args->gelu};
  return product((end < n ? end : n) - j, k, blocks, left, right, output_at(&out, batch * m, j),
                 (float *)ctx->scratch);
}

/* How often a product packs columns. */
static i64 parts_of(const Product *of) {
  const i64 step = columns_at_a_time(of);
  return of->n > 0 ? (of->n + step - 1) / step : 0;
}

/* Work stealing over columns: each thread computes columns of its own and then, while another has
 * many rows of its columns left, some of those. Returns whether that was done. */
static i32 share_columns(const Context *ctx, const struct matmul_args *args, i64 blocks,
                         NextRead after) {
  const i64 threads = ctx->threads;
  i64 most_parts = 1, each = args->m / TILE_ROWS;
  for (i64 t = 0; t < threads; t++) {
    const Product of = product_of(ctx, args, blocks, 0, t, threads);
    if (of.aside) return 0;
    if (parts_of(&of) > most_parts) most_parts = parts_of(&of);
  }
  if (each > MOST_SPANS / threads / most_parts) each = MOST_SPANS / threads / most_parts;
  if (!ctx->barrier || each < 4) return 0;
  for (i64 t = 0; t < threads; t++) {
    const i64 owner = (ctx->thread + t) % threads;
    Product of = product_of(ctx, args, blocks, 0, owner, threads);
    if (t == 0) of.after = after;
    const i64 parts = parts_of(&of);
    Rows rows = shared_rows(ctx, args->m, 1, t ? -1 : 0, each);
    for (i64 i = 0; i < parts; i++) {
      const i64 part = t ? parts - 1 - i : i;
      rows.first = owner * rows.apart + part * each;
      multiply_columns(&of, &rows, part * columns_at_a_time(&of), 0);
    }
  }
  return 1;
}

/* What this thread will pack first in the next product, if that is not far: weights have rested since
 * the step before, and every thread would wait for them. */
static NextRead next_product(const Context *ctx) {
  enum { FAR = 4 };
  const i32 *words = ctx->after;
  for (i32 i = 0; CAN_PREFETCH && words && words[0] != OP_END && i < FAR; i++) {
    if (words[0] == OP_MATMUL) {
      const struct matmul_args *args = (const struct matmul_args *)(words + 2);
      const ThreadGrid grid = thread_grid(ctx->threads, args);
      const i64 blocks = best_blocks(args->n, args->k);
      const Product of = product_of(ctx, args, blocks, 0, ctx->thread % grid.n, grid.n);
      return some_columns(&of, 0, 0, columns_at_a_time(&of));
    }
    words += 2 + words[1];
  }
  return (NextRead){0};
}

KERNEL(matmul) {
  const i64 m = args->m;
  const ThreadGrid grid = thread_grid(ctx->threads, args);
  const i64 blocks = best_blocks(args->n, args->k);
  const NextRead after = next_product(ctx);
  if (args->batch == 1 && grid.n > 1 && grid.n == ctx->threads &&
      share_columns(ctx, args, blocks, after)) {
    return;
  }
  const i64 at_n = ctx->thread % grid.n, at_m = ctx->thread / grid.n % grid.m;
  const i64 at_batch = ctx->thread / (grid.n * grid.m);
  const i64 first = args->batch * at_batch / grid.batch;
  const i64 last = args->batch * (at_batch + 1) / grid.batch;
  for (i64 batch = first; batch < last; batch++) {
    Product of = product_of(ctx, args, blocks, batch, at_n, grid.n);
    if (of.n <= 0) return;
    if (batch == last - 1) of.after = after;
    const Rows rows = args->batch > 1 ? given_rows(m * at_m / grid.m, m * (at_m + 1) / grid.m)
                                      : rows_of_thread(ctx, m, at_m, grid.m);
    multiply(&of, &rows);
  }
}
