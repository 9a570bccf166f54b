/* statistics.c - the statistics of batch normalisation: mean and variance of a batch by channel, and the
 * running ones that evaluation reads.
 *
 * Sums over rows are those of loop.h, in blocks of SUM_BLOCK rows. The variance does not cancel however far
 * the mean is from zero: a chunk takes deviations from its `pivot`, which is the mean of the rows before the
 * block; `offset` is what rounding has left of that mean. With sum s and squares q of the deviations of a
 * block of k rows behind n others, whose squared deviations from their mean are m2,
 *   next = (n offset + s) / (n + k),   m2 += n offset^2 + q - (n + k) next^2,
 * and pivot and offset become the parts of pivot + next. The difference is at least half of q from the second
 * block on, and in the first s is almost 0: its pivot is its own mean, found before.
 *
 * x [rows, cols], a channel for each column; all others [cols].
 */
#include "kernels.h"
#include "loop.h"

/* Rows that are summed before a sum is stored. */
#define ROWS_AT_ONCE 8

/* Rows of a block of columns, and the sums of their deviations from the pivot. */
typedef struct {
  const float *x, *pivot;
  float *sum, *squares;
  i64 cols;
} Deviations;

ALWAYS_INLINE void deviation_rows(const Deviations *on, i64 i, i64 count, i32 rows) {
  const vf pivot = vf_take(on->pivot + i, count);
  vf sum = vf_take(on->sum + i, count), squares = vf_take(on->squares + i, count);
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
    const vf deviation = vf_take_next(on->x + r * on->cols + i, count) - pivot;
    sum += deviation;
    squares = vf_fma(deviation, deviation, squares);
  }
  vf_put(on->sum + i, sum, count);
  vf_put(on->squares + i, squares, count);
}
ALWAYS_INLINE void deviation_some(const Deviations *on, i64 i, i64 count) {
  deviation_rows(on, i, count, ROWS_AT_ONCE);
}
ALWAYS_INLINE void deviation_one(const Deviations *on, i64 i, i64 count) {
  deviation_rows(on, i, count, 1);
}

/* Sets the sums to those of `rows` rows. */
static void sum_deviations(Deviations on, i64 rows, i64 width) {
  fill_floats(on.sum, 0, width);
  fill_floats(on.squares, 0, width);
  for (; rows >= ROWS_AT_ONCE; rows -= ROWS_AT_ONCE, on.x += ROWS_AT_ONCE * on.cols) {
    FOR_VECTORS(0, width, deviation_some, &on);
  }
  for (; rows > 0; rows--, on.x += on.cols) FOR_VECTORS(0, width, deviation_one, &on);
}

/* What is known of the rows of a chunk so far, for a block of columns: mean = pivot + offset. */
typedef struct {
  float *pivot, *offset, *m2;
} Moments;

/* Takes up the sums of the `some` rows that follow the first `known`. */
static void take_block(Moments to, const float *sum, const float *squares, i64 known, i64 some,
                       i64 width) {
  const vf before = vf_splat((float)known), all = vf_splat((float)(known + some));
  const vf share = vf_splat(1.0f / (float)(known + some));
  for (i64 i = 0; i < width; i += LANES) {
    const i64 count = width - i;
    const vf pivot = vf_take(to.pivot + i, count), old = vf_take(to.offset + i, count);
    const vf offset = vf_fma(before, old, vf_take(sum + i, count)) * share;
    vf m2 = vf_take(to.m2 + i, count) + vf_take(squares + i, count);
    m2 = vf_fma(before * old, old, m2);
    m2 = vf_fma(all * vf_negate(offset), offset, m2);
    const vf next = pivot + offset;
    vf_put(to.pivot + i, next, count);
    vf_put(to.offset + i, (pivot - next) + offset, count);
    vf_put(to.m2 + i, m2, count);
  }
}

/* pivot, offset and m2 of `rows` rows, at least one. */
static void chunk_moments(const float *x, i64 rows, i64 cols, i64 width, Moments to) {
  float sum[SUM_COLUMNS], squares[SUM_COLUMNS];
  const i64 first = rows < SUM_BLOCK ? rows : SUM_BLOCK;
  Deviations on = {x, x, sum, squares, cols};
  copy_floats(to.pivot, x, width);
  fill_floats(to.offset, 0, width);
  fill_floats(to.m2, 0, width);
  sum_deviations(on, first, width);
  take_block(to, sum, squares, 0, first, width); /* for the mean, from which it starts again */
  fill_floats(to.offset, 0, width);
  fill_floats(to.m2, 0, width);
  on.pivot = to.pivot;
  for (i64 row = 0; row < rows; row += SUM_BLOCK) {
    const i64 count = rows - row < SUM_BLOCK ? rows - row : SUM_BLOCK;
    on.x = x + row * cols;
    sum_deviations(on, count, width);
    take_block(to, sum, squares, row, count, width);
  }
}

/* Joins the chunks in order, all means as distances from the first chunk's pivot. */
static void join_chunks(const Context *ctx, Moments of, i64 rows, i64 cols, float *mean,
                        float *variance) {
  const vf per_row = vf_splat(1.0f / (float)rows);
  i64 begin, end;
  share(ctx, cols, 16, &begin, &end);
  for (i64 column = begin; column < end; column += LANES) {
    const i64 count = end - column;
    vf pivot = vf_zero(), offset = vf_zero(), m2 = vf_zero();
    i64 known = 0;
    for (i64 chunk = 0; chunk < CHUNKS; chunk++) {
      const i64 some = chunk_begin(rows, chunk + 1) - chunk_begin(rows, chunk);
      const i64 at = chunk * cols + column;
      if (some == 0) continue;
      const float weight = (float)some / (float)(known + some);
      const vf its_pivot = vf_take(of.pivot + at, count);
      if (known == 0) pivot = its_pivot;
      const vf apart = (its_pivot - pivot) + vf_take(of.offset + at, count) - offset;
      m2 = vf_fma(apart * apart, vf_splat((float)known * weight), m2 + vf_take(of.m2 + at, count));
      offset = vf_fma(apart, vf_splat(weight), offset);
      known += some;
    }
    vf_put(mean + column, pivot + offset, count);
    vf_put(variance + column, m2 * per_row, count);
  }
}

/* workspace: 3 * CHUNKS * cols floats, of every chunk pivot, offset and m2 */
KERNEL(batch_norm_statistics) {
  const i64 rows = args->rows, cols = args->cols;
  const i64 blocks = (cols + SUM_COLUMNS - 1) / SUM_COLUMNS;
  float *workspace = F32(ctx, args->workspace);
  const Moments all = {workspace, workspace + CHUNKS * cols, workspace + 2 * CHUNKS * cols};
  i64 begin, end;
  share(ctx, CHUNKS * blocks, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 chunk = item / blocks, column = item % blocks * SUM_COLUMNS;
    const i64 row = chunk_begin(rows, chunk), count = chunk_begin(rows, chunk + 1) - row;
    const i64 at = chunk * cols + column;
    if (count == 0) continue;
    chunk_moments(F32(ctx, args->x) + row * cols + column, count, cols,
                  cols - column < SUM_COLUMNS ? cols - column : SUM_COLUMNS,
                  (Moments){all.pivot + at, all.offset + at, all.m2 + at});
  }
  SUFFIX(thimble_barrier)(ctx);
  join_chunks(ctx, all, rows, cols, F32(ctx, args->mean), F32(ctx, args->variance));
}

typedef struct {
  const float *old, *value;
  float *y;
  vf kept, taken;
} Moving;

ALWAYS_INLINE void moving_vector(const Moving *on, i64 i, i64 count) {
  const vf taken = vf_take(on->value + i, count) * on->taken;
  vf_put(on->y + i, vf_fma(vf_take(on->old + i, count), on->kept, taken), count);
}

/* outputs are the memory of the old values */
KERNEL(running_statistics) {
  const vf kept = vf_splat(args->kept);
  const Moving mean = {F32(ctx, args->running_mean), F32(ctx, args->mean),
                       F32(ctx, args->running_mean_out), kept, vf_splat(args->of_mean)};
  const Moving variance = {F32(ctx, args->running_variance), F32(ctx, args->variance),
                           F32(ctx, args->running_variance_out), kept,
                           vf_splat(args->of_variance)};
  i64 begin, end;
  share(ctx, args->channels, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, moving_vector, &mean);
  FOR_VECTORS(begin, end, moving_vector, &variance);
}
