/* gemm_panels.h - rows of a times packed panels, tile after tile: packs the rows, calls the register tile
 * and sees to edges and GELU. Part of gemm.c.
 */
#ifndef THIMBLE_GEMM_PANELS_H
#define THIMBLE_GEMM_PANELS_H

#include "prefetch.h"
#include "gemm.h"
#include "gemm_pack.h"
#include "gemm_tile.h"
#include "math.h"

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

#endif
