/* reduce.c - sums whose bits do not depend on the number of threads, and the factor of gradient
 * clipping. */
#include "kernels.h"
#include "loop.h"

/* Rows of a block of columns, and the block's sums. */
typedef struct {
  const float *x;
  float *y;
  i64 cols;
} Rows;

ALWAYS_INLINE void add_rows(const Rows *on, i64 i, i64 count, i32 rows) {
  vf sum = vf_take(on->y + i, count);
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) sum += vf_take(on->x + r * on->cols + i, count);
  vf_put(on->y + i, sum, count);
}
ALWAYS_INLINE void add_some_rows(const Rows *on, i64 i, i64 count) {
  add_rows(on, i, count, SUM_ROWS);
}
ALWAYS_INLINE void add_one_row(const Rows *on, i64 i, i64 count) { add_rows(on, i, count, 1); }

/* y[cols] = sum of x [rows, cols] over rows; workspace: CHUNKS * cols floats */
KERNEL(sum_rows) {
  const float *x = F32(ctx, args->x);
  float *partial = F32(ctx, args->workspace);
  const i64 rows = args->rows, cols = args->cols;
  const i64 blocks = (cols + SUM_COLUMNS - 1) / SUM_COLUMNS;
  i64 begin, end;
  share(ctx, CHUNKS * blocks, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 chunk = item / blocks, column = item % blocks * SUM_COLUMNS;
    const i64 width = cols - column < SUM_COLUMNS ? cols - column : SUM_COLUMNS;
    const i64 last = chunk_begin(rows, chunk + 1);
    Rows on = {0, partial + chunk * cols + column, cols};
    fill_floats(on.y, 0, width);
    i64 row = chunk_begin(rows, chunk);
    for (; row + SUM_ROWS <= last; row += SUM_ROWS) {
      on.x = x + row * cols + column;
      FOR_VECTORS(0, width, add_some_rows, &on);
    }
    for (; row < last; row++) {
      on.x = x + row * cols + column;
      FOR_VECTORS(0, width, add_one_row, &on);
    }
  }
  SUFFIX(thimble_barrier)(ctx);
  add_chunks(ctx, partial, F32(ctx, args->y), cols);
}

/* Pieces of a sum of squares, and the elements summed in single precision before one double takes
 * them up. */
#define PIECES 64
#define RUN 1024

static float squares_in_run(const float *x, i64 count) {
  vf sums[4] = {0};
  i64 i = 0;
  for (; i + 4 * LANES <= count; i += 4 * LANES) {
    UNROLL_LOOP for (i32 j = 0; j < 4; j++) {
      const vf v = vf_load(x + i + j * LANES);
      sums[j] = vf_fma(v, v, sums[j]);
    }
  }
  for (; i < count; i += LANES) {
    const vf v = vf_take(x + i, count - i);
    sums[0] = vf_fma(v, v, sums[0]);
  }
  return vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/* y[0] = total[0] (0 when absent) + sum of x^2; y may be total. workspace: PIECES doubles */
KERNEL(sum_squares) {
  const float *x = F32(ctx, args->x), *total = F32(ctx, args->total);
  double *pieces = (double *)operand(ctx, args->workspace);
  const i64 count = args->count, runs = (count + RUN - 1) / RUN;
  i64 begin, end;
  share(ctx, PIECES, 1, &begin, &end);
  for (i64 piece = begin; piece < end; piece++) {
    double sum = 0;
    for (i64 run = runs * piece / PIECES; run < runs * (piece + 1) / PIECES; run++) {
      const i64 rest = count - run * RUN;
      sum += squares_in_run(x + run * RUN, rest < RUN ? rest : RUN);
    }
    pieces[piece] = sum;
  }
  SUFFIX(thimble_barrier)(ctx);
  if (ctx->thread != 0) return;
  double sum = 0;
  for (i32 piece = 0; piece < PIECES; piece++) sum += pieces[piece];
  F32(ctx, args->y)[0] = (float)(total ? total[0] + sum : sum);
}

/* scale[0] = min(1, max_norm / (sqrt(total) + 1e-6)), as torch.nn.utils.clip_grad_norm_; NaN stays
 * NaN */
KERNEL(clip_scale) {
  if (ctx->thread != 0) return;
  const float ratio = args->max_norm / (__builtin_sqrtf(F32(ctx, args->total)[0]) + 1e-6f);
  F32(ctx, args->scale)[0] = ratio > 1 ? 1 : ratio;
}
