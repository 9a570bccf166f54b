/* norm.c - layer normalisation over the last dimension and its gradients.
 *
 *   xhat = (x - mean) rstd,  y = xhat gamma + beta,  rstd = 1 / sqrt(biased variance + eps)
 *   g = dy gamma,  dx = rstd (g - mean(g) - xhat mean(g xhat)) + residual
 *   dgamma = sum over rows of dy xhat,  dbeta = sum over rows of dy
 *
 * The variance is the mean square deviation from the mean that was just found (two passes over a
 * row that is in the first-level cache), so it does not cancel. x, y, dy, dx [rows, cols]; mean,
 * rstd [rows]; gamma, beta [cols].
 */
#include "kernels.h"
#include "loop.h"

/* Independent partial sums hide the latency of the additions; their number is fixed, so the order
 * is too. */
#define SUMS 4
#define STRIDE (SUMS * LANES)

ALWAYS_INLINE float add_sums(const vf *sums) {
  return vf_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

static float row_mean(const float *x, i64 cols) {
  vf sums[SUMS] = {0};
  i64 i = 0;
  for (; i + STRIDE <= cols; i += STRIDE) {
    UNROLL_LOOP for (i32 j = 0; j < SUMS; j++) sums[j] += vf_take_next(x + i + j * LANES, LANES);
  }
  for (; i < cols; i += LANES) sums[0] += vf_take_next(x + i, cols - i);
  return add_sums(sums) / (float)cols;
}

static float row_variance(const float *x, float mean, i64 cols) {
  vf sums[SUMS] = {0};
  i64 i = 0;
  for (; i + STRIDE <= cols; i += STRIDE) {
    UNROLL_LOOP for (i32 j = 0; j < SUMS; j++) {
      const vf deviation = vf_load(x + i + j * LANES) - mean;
      sums[j] = vf_fma(deviation, deviation, sums[j]);
    }
  }
  for (; i < cols; i += LANES) {
    const vf deviation = vf_fill_rest(vf_take(x + i, cols - i) - mean, cols - i, 0);
    sums[0] = vf_fma(deviation, deviation, sums[0]);
  }
  return add_sums(sums) / (float)cols;
}

typedef struct {
  const float *x, *gamma, *beta;
  float *y;
  vf mean, rstd;
} Normalise;

ALWAYS_INLINE void normalise_vector(const Normalise *row, i64 i, i64 count) {
  const vf xhat = (vf_take(row->x + i, count) - row->mean) * row->rstd;
  vf_put_next(row->y + i,
         vf_fma(xhat, vf_take(row->gamma + i, count), vf_take(row->beta + i, count)), count);
}

KERNEL(layernorm) {
  float *means = F32(ctx, args->mean), *rstds = F32(ctx, args->rstd);
  const i64 cols = args->cols;
  i64 begin, end;
  share(ctx, args->rows, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const float *x = F32(ctx, args->x) + row * cols;
    const float mean = row_mean(x, cols);
    const float rstd = 1 / __builtin_sqrtf(row_variance(x, mean, cols) + args->eps);
    const Normalise on = {
        x, F32(ctx, args->gamma), F32(ctx, args->beta), F32(ctx, args->y) + row * cols,
        vf_splat(mean), vf_splat(rstd)};
    FOR_VECTORS(0, cols, normalise_vector, &on);
    means[row] = mean;
    rstds[row] = rstd;
  }
}

/* One row of the gradient with respect to x; the sums are complete before dx is written over dy or
 * residual. */
typedef struct {
  const float *x, *gamma, *dy, *residual;
  float *dx;
  vf mean, rstd;
  vf sums[SUMS], products[SUMS]; /* of g and of g xhat */
  vf mean_g, mean_product;
} InputGrad;

ALWAYS_INLINE void input_grad_sums(InputGrad *row, i64 i, i64 count, i32 j) {
  const vf g = vf_take_next(row->dy + i, count) * vf_take(row->gamma + i, count);
  const vf xhat = (vf_take_next(row->x + i, count) - row->mean) * row->rstd;
  row->sums[j] += g;
  row->products[j] = vf_fma(g, xhat, row->products[j]);
}

ALWAYS_INLINE void input_grad_vector(const InputGrad *row, i64 i, i64 count) {
  const vf g = vf_take(row->dy + i, count) * vf_take(row->gamma + i, count);
  const vf xhat = (vf_take(row->x + i, count) - row->mean) * row->rstd;
  vf dx = (g - row->mean_g - xhat * row->mean_product) * row->rstd;
  if (row->residual) dx += vf_take_next(row->residual + i, count);
  vf_put_next(row->dx + i, dx, count);
}

static void input_grad_row(InputGrad *row, i64 cols) {
  i64 i = 0;
  for (; i + STRIDE <= cols; i += STRIDE) {
    UNROLL_LOOP for (i32 j = 0; j < SUMS; j++) input_grad_sums(row, i + j * LANES, LANES, j);
  }
  for (; i < cols; i += LANES) input_grad_sums(row, i, cols - i, 0);
  row->mean_g = vf_splat(add_sums(row->sums) / (float)cols);
  row->mean_product = vf_splat(add_sums(row->products) / (float)cols);
  FOR_VECTORS(0, cols, input_grad_vector, row);
}

KERNEL(layernorm_grad_input) {
  const float *residual = F32(ctx, args->residual);
  const i64 cols = args->cols;
  i64 begin, end;
  share(ctx, args->rows, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    InputGrad on = {
        .x = F32(ctx, args->x) + row * cols,
        .gamma = F32(ctx, args->gamma),
        .dy = F32(ctx, args->dy) + row * cols,
        .residual = residual ? residual + row * cols : 0,
        .dx = F32(ctx, args->dx) + row * cols,
        .mean = vf_splat(F32(ctx, args->mean)[row]),
        .rstd = vf_splat(F32(ctx, args->rstd)[row])};
    input_grad_row(&on, cols);
  }
}

/* Rows of a block of columns, and the block's sums; one of dgamma and dbeta may be null. */
typedef struct {
  const float *x, *dy, *mean, *rstd;
  float *dgamma, *dbeta;
  i64 cols;
} ParamGrad;

ALWAYS_INLINE void param_grad_rows(const ParamGrad *on, i64 i, i64 count, i32 rows) {
  vf dgamma = on->dgamma ? vf_take(on->dgamma + i, count) : vf_splat(0);
  vf dbeta = on->dbeta ? vf_take(on->dbeta + i, count) : vf_splat(0);
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
    const vf slope = vf_take(on->dy + r * on->cols + i, count);
    const vf centred = vf_take(on->x + r * on->cols + i, count) - vf_splat(on->mean[r]);
    dgamma = vf_fma(slope, centred * vf_splat(on->rstd[r]), dgamma);
    dbeta += slope;
  }
  if (on->dgamma) vf_put(on->dgamma + i, dgamma, count);
  if (on->dbeta) vf_put(on->dbeta + i, dbeta, count);
}
ALWAYS_INLINE void param_grad_some(const ParamGrad *on, i64 i, i64 count) {
  param_grad_rows(on, i, count, SUM_ROWS);
}
ALWAYS_INLINE void param_grad_one(const ParamGrad *on, i64 i, i64 count) {
  param_grad_rows(on, i, count, 1);
}

/* Adds one chunk of rows to the sums of one block of columns, which it clears. */
static void param_grad_chunk(ParamGrad *on, i64 rows, i64 width) {
  if (on->dgamma) fill_floats(on->dgamma, 0, width);
  if (on->dbeta) fill_floats(on->dbeta, 0, width);
  while (rows > 0) {
    const i64 step = rows >= SUM_ROWS ? SUM_ROWS : 1;
    if (step == 1) FOR_VECTORS(0, width, param_grad_one, on);
    else FOR_VECTORS(0, width, param_grad_some, on);
    on->x += step * on->cols;
    on->dy += step * on->cols;
    on->mean += step;
    on->rstd += step;
    rows -= step;
  }
}

/* workspace: 2 * CHUNKS * cols floats, the partial sums of dgamma, then of dbeta */
KERNEL(layernorm_grad_params) {
  const i64 rows = args->rows, cols = args->cols;
  const i64 blocks = (cols + SUM_COLUMNS - 1) / SUM_COLUMNS;
  float *dgamma = F32(ctx, args->dgamma), *dbeta = F32(ctx, args->dbeta);
  float *partial_gamma = F32(ctx, args->workspace), *partial_beta = partial_gamma + CHUNKS * cols;
  i64 begin, end;
  share(ctx, CHUNKS * blocks, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 chunk = item / blocks, column = item % blocks * SUM_COLUMNS;
    const i64 row = chunk_begin(rows, chunk), at = chunk * cols + column;
    ParamGrad on = {
        F32(ctx, args->x) + row * cols + column, F32(ctx, args->dy) + row * cols + column,
        F32(ctx, args->mean) + row, F32(ctx, args->rstd) + row,
        dgamma ? partial_gamma + at : 0, dbeta ? partial_beta + at : 0, cols};
    param_grad_chunk(&on, chunk_begin(rows, chunk + 1) - row,
                     cols - column < SUM_COLUMNS ? cols - column : SUM_COLUMNS);
  }
  SUFFIX(thimble_barrier)(ctx);
  if (dgamma) add_chunks(ctx, partial_gamma, dgamma, cols);
  if (dbeta) add_chunks(ctx, partial_beta, dbeta, cols);
}
