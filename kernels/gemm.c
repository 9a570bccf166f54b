/* gemm.c - matrix product on one thread and the matmul step on all of them.
 *
 * Packed-panel product after Goto and van de Geijn, "Anatomy of High-Performance Matrix
 * Multiplication" (2008), with one packed level fewer, because scratch is dear on small devices:
 *   for blocks of n and k:    pack a block of b into panels               second-level cache
 *     for rows of tiles:      pack TILE_ROWS rows of a's block            first-level cache
 *       for panels:           the register tile streams over k            registers
 * Rows are cut into tiles of nearly equal height (1 .. TILE_ROWS), so an odd number of rows costs
 * little. Bias, residual and partial sums are added in registers; edges and GELU go through a small
 * tile in scratch. The inner parts, gemm_pack.h, gemm_tile.h and gemm_panels.h, are compiled with it,
 * so that they can be inlined.
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
#include "gemm_pack.h"
#include "gemm_panels.h"
#include "kernels.h"
#include "program.h"
#include "rows.h"
#include "steps.h"

/* ---- panels -------------------------------------------------------------------------------- */

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
  const i32 *step = ctx->after;
  for (i32 i = 0; CAN_PREFETCH && step && !is_end(step) && i < FAR; i++, step = step_after(step)) {
    if (step[0] == OP_MATMUL) {
      const struct matmul_args *args = (const struct matmul_args *)step_arguments(step);
      const ThreadGrid grid = thread_grid(ctx->threads, args);
      const i64 blocks = best_blocks(args->n, args->k);
      const Product of = product_of(ctx, args, blocks, 0, ctx->thread % grid.n, grid.n);
      return some_columns(&of, 0, 0, columns_at_a_time(&of));
    }
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
