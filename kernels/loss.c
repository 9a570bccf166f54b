/* loss.c - softmax cross-entropy with label smoothing and its gradient; logits [rows, cols],
 * labels int32 [rows].
 *
 *   loss = mean over rows of (1 - s)(lse - x[label]) + s (lse - mean(x)),  lse = log(sum(exp(x)))
 *   dlogits = (softmax(x) - target) dloss / rows,  target = (1 - s) onehot(label) + s / cols
 *
 * A label outside [0, cols) and a logit that is NaN or +infinity give a NaN loss; nothing is read
 * out of bounds.
 */
#include "kernels.h"
#include "loop.h"
#include "math.h"

typedef struct {
  float highest; /* largest logit; subtracted before exp so that nothing overflows */
  float sum;     /* of exp(x - highest) */
  float mean;    /* of x - highest */
} RowSums;

/* exponentials (may be null) receives exp(x - highest) and may be the logits' memory. */
static RowSums row_sums(const float *x, i64 cols, float *exponentials) {
  vf highest = vf_splat(-__builtin_inff());
  for (i64 i = 0; i < cols; i += LANES) {
    const i64 count = cols - i;
    highest = vf_max(highest, vf_fill_rest(vf_take(x + i, count), count, -__builtin_inff()));
  }
  RowSums row = {.highest = vf_highest(highest)};
  vf sum = vf_zero(), shifted_sum = vf_zero();
  for (i64 i = 0; i < cols; i += LANES) {
    const i64 count = cols - i;
    const vf shifted = vf_take(x + i, count) - row.highest;
    const vf exponential = vf_exp(shifted);
    sum += vf_fill_rest(exponential, count, 0);
    shifted_sum += vf_fill_rest(shifted, count, 0);
    if (exponentials) vf_put(exponentials + i, exponential, count);
  }
  row.sum = vf_sum(sum);
  row.mean = vf_sum(shifted_sum) / (float)cols;
  return row;
}

static float row_loss(const float *x, i32 label, i64 cols, float smoothing) {
  if (label < 0 || label >= cols) return __builtin_nanf("");
  const RowSums row = row_sums(x, cols, 0);
  const float log_sum = log_scalar(row.sum);
  const float loss = log_sum - (x[label] - row.highest);
  /* Without smoothing the mean has no say, even when a logit is -infinity. */
  return smoothing == 0 ? loss : (1 - smoothing) * loss + smoothing * (log_sum - row.mean);
}

/* One thread: a batch of logits is small (8 x 1000: microseconds) and the order stays fixed. */
KERNEL(softmax_cross_entropy) {
  if (ctx->thread != 0) return;
  const float *logits = F32(ctx, args->logits);
  const i32 *labels = I32(ctx, args->labels);
  double sum = 0;
  for (i64 row = 0; row < args->rows; row++) {
    sum += row_loss(logits + row * args->cols, labels[row], args->cols, args->smoothing);
  }
  F32(ctx, args->loss)[0] = (float)(sum / args->rows);
}

typedef struct {
  float *y;
  vf factor, offset;
} Rescale;

ALWAYS_INLINE void rescale_vector(const Rescale *row, i64 i, i64 count) {
  vf_put(row->y + i, vf_take(row->y + i, count) * row->factor - row->offset, count);
}

/* dlogits may be the memory of logits. */
KERNEL(softmax_cross_entropy_grad) {
  const i32 *labels = I32(ctx, args->labels);
  const i64 cols = args->cols;
  const float slope = F32(ctx, args->dloss)[0] / (float)args->rows;
  i64 begin, end;
  share(ctx, args->rows, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    float *y = F32(ctx, args->dlogits) + row * cols;
    const RowSums sums = row_sums(F32(ctx, args->logits) + row * cols, cols, y);
    const i32 label = labels[row], known = label >= 0 && label < cols;
    const float off = known ? slope * args->smoothing / (float)cols : __builtin_nanf("");
    const Rescale on = {y, vf_splat(slope / sums.sum), vf_splat(off)};
    FOR_VECTORS(0, cols, rescale_vector, &on);
    if (known) y[label] -= slope * (1 - args->smoothing);
  }
}
