/* batchnorm.c - batch normalisation by channel with an activation behind it, and its gradients.
 *
 *   xhat = (x - mean) rstd,  y = act(xhat gamma + beta),  rstd = 1 / sqrt(variance + eps)
 *   g = dy act'(xhat gamma + beta),  dgamma = sum over rows of g xhat,  dbeta = sum over rows of g
 *   dx = alpha (g - (dbeta + xhat dgamma) / rows),  alpha = gamma rstd;  alpha g if not of the batch
 *
 * x, y, dy, dx [rows, cols], a channel for each column; all others [cols]. Sums over rows are those of
 * loop.h, in blocks of SUM_BLOCK rows.
 */
#include "activation.h"
#include "kernels.h"
#include "loop.h"

/* ---- what the channels have in common ------------------------------------------------------ */

ALWAYS_INLINE vf rstd_of(const float *variance, float eps, i64 count) {
  return 1.0f / vf_sqrt(vf_take(variance, count) + eps);
}

/* alpha[cols] = gamma rstd, which is beta's companion: y = act((x - mean) alpha + beta). */
static void alphas(const float *gamma, const float *variance, float eps, float *alpha, i64 cols) {
  for (i64 i = 0; i < cols; i += LANES) {
    const vf rstd = rstd_of(variance + i, eps, cols - i);
    vf_put(alpha + i, vf_take(gamma + i, cols - i) * rstd, cols - i);
  }
}

/* Runs what is defined by SWEEP once for every activation, which it has as a constant. */
#define FOR_ACTIVATION(activation, SWEEP)                  \
  switch (activation) {                                    \
    case ACTIVATION_RELU: SWEEP(ACTIVATION_RELU); break;   \
    case ACTIVATION_RELU6: SWEEP(ACTIVATION_RELU6); break; \
    case ACTIVATION_HARD_SWISH: SWEEP(ACTIVATION_HARD_SWISH); break; \
    case ACTIVATION_SILU: SWEEP(ACTIVATION_SILU); break;   \
    default: SWEEP(ACTIVATION_NONE);                       \
  }

/* ---- forward ------------------------------------------------------------------------------- */

typedef struct {
  const float *x, *mean, *alpha, *beta;
  float *y;
} Forward;

ALWAYS_INLINE void forward_vectors(i32 n, i32 activation, const Forward *on, i64 i0, i64 count) {
  vf y[EACH_VECTORS];
  EACH {
    const i64 at = i0 + i * LANES;
    const vf centred = vf_take(on->x + at, count) - vf_take(on->mean + at, count);
    y[i] = vf_fma(centred, vf_take(on->alpha + at, count), vf_take(on->beta + at, count));
  }
  vf_activate_each(n, activation, y);
  EACH vf_put(on->y + i0 + i * LANES, y[i], count);
}

ALWAYS_INLINE void forward_rows(Forward on, i64 rows, i64 cols, i32 activation) {
#define FORWARD(n, on, i, count) forward_vectors(n, activation, on, i, count)
  for (; rows > 0; rows--, on.x += cols, on.y += cols) {
    FOR_EACH_VECTORS(EACH_VECTORS, 0, cols, FORWARD, &on);
  }
#undef FORWARD
}

/* scratch: cols floats */
KERNEL(batch_norm) {
  float *alpha = (float *)ctx->scratch;
  const i64 cols = args->cols;
  i64 begin, end;
  share(ctx, args->rows, 1 + GRAIN / cols, &begin, &end);
  if (begin == end) return;
  alphas(F32(ctx, args->gamma), F32(ctx, args->variance), args->eps, alpha, cols);
  const Forward on = {F32(ctx, args->x) + begin * cols, F32(ctx, args->mean), alpha,
                      F32(ctx, args->beta), F32(ctx, args->y) + begin * cols};
#define SWEEP(activation) forward_rows(on, end - begin, cols, activation)
  FOR_ACTIVATION(args->activation, SWEEP)
#undef SWEEP
}

/* ---- gradient of scale and shift ----------------------------------------------------------- */

/* Rows of a block of columns, and the sums of g and of g (x - mean). */
typedef struct {
  const float *x, *dy, *mean, *alpha, *beta;
  float *sum, *product;
  i64 cols;
} Sums;

ALWAYS_INLINE void sums_vectors(i32 rows, i32 activation, const Sums *on, i64 i0, i64 count) {
  const vf mean = vf_take(on->mean + i0, count), alpha = vf_take(on->alpha + i0, count);
  const vf beta = vf_take(on->beta + i0, count);
  vf sum = vf_take(on->sum + i0, count), product = vf_take(on->product + i0, count);
  vf centred[EACH_VECTORS], before[EACH_VECTORS], g[EACH_VECTORS];
  const i32 n = rows;
  EACH centred[i] = vf_take_next(on->x + i * on->cols + i0, count) - mean;
  EACH g[i] = vf_take_next(on->dy + i * on->cols + i0, count);
  EACH before[i] = vf_fma(centred[i], alpha, beta);
  vf_times_slope_each(n, activation, before, g);
  EACH sum += g[i];
  EACH product = vf_fma(g[i], centred[i], product);
  vf_put(on->sum + i0, sum, count);
  vf_put(on->product + i0, product, count);
}

/* Adds `rows` rows to the sums. */
ALWAYS_INLINE void sums_rows(Sums on, i64 rows, i64 width, i32 activation) {
#define SUM_SOME(on, i, count) sums_vectors(EACH_VECTORS, activation, on, i, count)
#define SUM_ONE(on, i, count) sums_vectors(1, activation, on, i, count)
  for (; rows >= EACH_VECTORS; rows -= EACH_VECTORS) {
    FOR_VECTORS(0, width, SUM_SOME, &on);
    on.x += EACH_VECTORS * on.cols;
    on.dy += EACH_VECTORS * on.cols;
  }
  for (; rows > 0; rows--, on.x += on.cols, on.dy += on.cols) FOR_VECTORS(0, width, SUM_ONE, &on);
#undef SUM_SOME
#undef SUM_ONE
}

/* A chunk of rows; dgamma and dbeta are its partial sums of a block of columns, and may be null. */
static void chunk_sums(Sums on, i64 rows, i64 width, i32 activation, float *dgamma, float *dbeta) {
  float sum[SUM_COLUMNS], product[SUM_COLUMNS];
  on.sum = sum;
  on.product = product;
  if (dgamma) fill_floats(dgamma, 0, width);
  if (dbeta) fill_floats(dbeta, 0, width);
  for (i64 row = 0; row < rows; row += SUM_BLOCK) {
    const i64 count = rows - row < SUM_BLOCK ? rows - row : SUM_BLOCK;
    fill_floats(sum, 0, width);
    fill_floats(product, 0, width);
#define SWEEP(activation) sums_rows(on, count, width, activation)
    FOR_ACTIVATION(activation, SWEEP)
#undef SWEEP
    on.x += count * on.cols;
    on.dy += count * on.cols;
    for (i64 i = 0; i < width; i += LANES) {
      const i64 rest = width - i;
      if (dgamma) vf_put(dgamma + i, vf_take(dgamma + i, rest) + vf_take(product + i, rest), rest);
      if (dbeta) vf_put(dbeta + i, vf_take(dbeta + i, rest) + vf_take(sum + i, rest), rest);
    }
  }
}

/* workspace: 2 * CHUNKS * cols floats, the partial sums of dgamma, then of dbeta */
KERNEL(batch_norm_grad_params) {
  const i64 rows = args->rows, cols = args->cols;
  const i64 blocks = (cols + SUM_COLUMNS - 1) / SUM_COLUMNS;
  float *dgamma = F32(ctx, args->dgamma), *dbeta = F32(ctx, args->dbeta);
  float *partial_gamma = F32(ctx, args->workspace), *partial_beta = partial_gamma + CHUNKS * cols;
  float alpha[SUM_COLUMNS];
  i64 begin, end;
  share(ctx, CHUNKS * blocks, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 chunk = item / blocks, column = item % blocks * SUM_COLUMNS;
    const i64 row = chunk_begin(rows, chunk), at = chunk * cols + column;
    const i64 width = cols - column < SUM_COLUMNS ? cols - column : SUM_COLUMNS;
    const float *variance = F32(ctx, args->variance) + column;
    const Sums on = {.x = F32(ctx, args->x) + row * cols + column,
                     .dy = F32(ctx, args->dy) + row * cols + column,
                     .mean = F32(ctx, args->mean) + column,
                     .alpha = alpha,
                     .beta = F32(ctx, args->beta) + column,
                     .cols = cols};
    alphas(F32(ctx, args->gamma) + column, variance, args->eps, alpha, width);
    chunk_sums(on, chunk_begin(rows, chunk + 1) - row, width, args->activation,
               dgamma ? partial_gamma + at : 0, dbeta ? partial_beta + at : 0);
    if (!dgamma) continue;
    for (i64 i = 0; i < width; i += LANES) {
      float *to = partial_gamma + at + i;
      vf_put(to, vf_take(to, width - i) * rstd_of(variance + i, args->eps, width - i), width - i);
    }
  }
  SUFFIX(thimble_barrier)(ctx);
  if (dgamma) add_chunks(ctx, partial_gamma, dgamma, cols);
  if (dbeta) add_chunks(ctx, partial_beta, dbeta, cols);
}

/* ---- gradient of the input ----------------------------------------------------------------- */

/* dx = alpha g + slope (x - mean) + level; with frozen statistics slope and level are null. x, mean
 * and beta are null where nothing needs them. */
typedef struct {
  const float *dy, *x, *mean, *alpha, *beta, *slope, *level;
  float *dx;
} Backward;

ALWAYS_INLINE void backward_vectors(i32 n, i32 activation, i32 batch, const Backward *on, i64 i0,
                                    i64 count) {
  vf centred[EACH_VECTORS], before[EACH_VECTORS], g[EACH_VECTORS], alpha[EACH_VECTORS];
  EACH g[i] = vf_take_next(on->dy + i0 + i * LANES, count);
  EACH alpha[i] = vf_take(on->alpha + i0 + i * LANES, count);
  if (batch || activation) {
    EACH centred[i] = vf_take_next(on->x + i0 + i * LANES, count) -
                      vf_take(on->mean + i0 + i * LANES, count);
  }
  if (activation) {
    EACH before[i] = vf_fma(centred[i], alpha[i], vf_take(on->beta + i0 + i * LANES, count));
    vf_times_slope_each(n, activation, before, g);
  }
  EACH g[i] *= alpha[i];
  if (batch) {
    EACH centred[i] = vf_fma(centred[i], vf_take(on->slope + i0 + i * LANES, count),
                             vf_take(on->level + i0 + i * LANES, count));
    EACH g[i] += centred[i];
  }
  EACH vf_put(on->dx + i0 + i * LANES, g[i], count);
}

ALWAYS_INLINE void backward_rows(Backward on, i64 rows, i64 cols, i32 activation, i32 batch) {
#define BACKWARD(n, on, i, count) backward_vectors(n, activation, batch, on, i, count)
  for (; rows > 0; rows--, on.dy += cols, on.dx += cols) {
    FOR_EACH_VECTORS(EACH_VECTORS, 0, cols, BACKWARD, &on);
    if (batch || activation) on.x += cols;
  }
#undef BACKWARD
}

/* slope = -alpha rstd dgamma / rows, level = -alpha dbeta / rows */
static void mean_terms(const Backward *on, const float *variance, float eps, const float *dgamma,
                       const float *dbeta, i64 rows, i64 cols, float *slope, float *level) {
  const vf per_row = vf_splat(-1.0f / (float)rows);
  for (i64 i = 0; i < cols; i += LANES) {
    const i64 count = cols - i;
    const vf alpha = vf_take(on->alpha + i, count) * per_row;
    const vf rstd = rstd_of(variance + i, eps, count);
    vf_put(slope + i, alpha * rstd * vf_take(dgamma + i, count), count);
    vf_put(level + i, alpha * vf_take(dbeta + i, count), count);
  }
}

/* scratch: 3 * cols floats */
KERNEL(batch_norm_grad_input) {
  const i64 cols = args->cols;
  float *alpha = (float *)ctx->scratch, *slope = alpha + cols, *level = slope + cols;
  const float *x = F32(ctx, args->x), *variance = F32(ctx, args->variance);
  const float *dgamma = F32(ctx, args->dgamma);
  i64 begin, end;
  share(ctx, args->rows, 1 + GRAIN / cols, &begin, &end);
  if (begin == end) return;
  alphas(F32(ctx, args->gamma), variance, args->eps, alpha, cols);
  const Backward on = {F32(ctx, args->dy) + begin * cols, x ? x + begin * cols : 0,
                       F32(ctx, args->mean), alpha, F32(ctx, args->beta), slope, level,
                       F32(ctx, args->dx) + begin * cols};
  if (dgamma) {
    mean_terms(&on, variance, args->eps, dgamma, F32(ctx, args->dbeta), args->rows, cols, slope,
               level);
  }
#define SWEEP_BATCH(activation) backward_rows(on, end - begin, cols, activation, 1)
#define SWEEP_FROZEN(activation) backward_rows(on, end - begin, cols, activation, 0)
  if (dgamma) FOR_ACTIVATION(args->activation, SWEEP_BATCH)
  else FOR_ACTIVATION(args->activation, SWEEP_FROZEN)
#undef SWEEP_BATCH
#undef SWEEP_FROZEN
}
