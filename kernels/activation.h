/* activation.h - activations of convolutional networks on vectors, and their derivatives at x.
 *
 * NaN stays NaN. The logistic function is within a few units in the last place of float64's.
 */
#ifndef THIMBLE_ACTIVATION_H
#define THIMBLE_ACTIVATION_H

#include "math.h"

/* x held within bounds; a bound that is NaN holds nothing. */
ALWAYS_INLINE vf vf_clamp(vf x, vf low, vf high) { return vf_min(high, vf_max(low, x)); }

/* min(max(x / 6 + 1/2, 0), 1): exactly 0 up to -3 and exactly 1 from 3 on */
ALWAYS_INLINE vf vf_hard_sigmoid(vf x) {
  const vf line = vf_fma(x, vf_splat(1.0f / 6), vf_splat(0.5f));
  return vf_clamp(line, vf_zero(), vf_splat(1.0f));
}

/* The derivative of x hard_sigmoid(x). */
ALWAYS_INLINE vf vf_hard_swish_slope(vf x) {
  const vf line = vf_fma(x, vf_splat(1.0f / 3), vf_splat(0.5f));
  return vf_select(x <= -3.0f, vf_zero(), vf_select(x >= 3.0f, vf_splat(1.0f), line));
}

/* gate = 1 / (1 + e^-x) and rest = 1 - gate, both without loss where they are small, of n vectors; gate
 * may be x. */
ALWAYS_INLINE void vf_sigmoid_each(i32 n, const vf *x, vf *gate, vf *rest) {
  vf e[EACH_VECTORS], r[EACH_VECTORS];
  EACH e[i] = vf_negate(vf_abs(x[i]));
  vf_exp_each(n, e, 1);
  EACH r[i] = vf_reciprocal(e[i] + 1.0f);
  EACH e[i] = e[i] * r[i];
  EACH rest[i] = vf_select(x[i] < 0.0f, r[i], e[i]);
  EACH gate[i] = vf_select(x[i] < 0.0f, e[i], r[i]);
}

/* The derivative of x / (1 + e^-x), of n vectors; slope may be x. */
ALWAYS_INLINE void vf_silu_slope_each(i32 n, const vf *x, vf *slope) {
  vf gate[EACH_VECTORS], rest[EACH_VECTORS];
  vf_sigmoid_each(n, x, gate, rest);
  EACH rest[i] = vf_fma(x[i], rest[i], vf_splat(1.0f));
  EACH slope[i] = gate[i] * rest[i];
}

/* What batch normalisation has behind it, by the numbers of packages/core/src/ops/batch-norm-activation.ts. */
#define ACTIVATION_NONE 0
#define ACTIVATION_RELU 1
#define ACTIVATION_RELU6 2
#define ACTIVATION_HARD_SWISH 3
#define ACTIVATION_SILU 4

/* x[i] = activation(x[i]); `activation` is a constant. */
ALWAYS_INLINE void vf_activate_each(i32 n, i32 activation, vf *x) {
  if (activation == ACTIVATION_RELU) {
    EACH x[i] = vf_max(vf_zero(), x[i]);
  } else if (activation == ACTIVATION_RELU6) {
    EACH x[i] = vf_clamp(x[i], vf_zero(), vf_splat(6.0f));
  } else if (activation == ACTIVATION_HARD_SWISH) {
    EACH x[i] *= vf_hard_sigmoid(x[i]);
  } else if (activation == ACTIVATION_SILU) {
    vf gate[EACH_VECTORS], rest[EACH_VECTORS];
    vf_sigmoid_each(n, x, gate, rest);
    EACH x[i] *= gate[i];
  }
}

/* g[i] *= slope of the activation at x[i], which is lost; `activation` is a constant. Where an activation
 * has a kink, its slope is PyTorch's choice of the two. */
ALWAYS_INLINE void vf_times_slope_each(i32 n, i32 activation, vf *x, vf *g) {
  const vf zero = vf_zero();
  if (activation == ACTIVATION_RELU) {
    EACH g[i] = vf_select(x[i] > 0.0f, g[i], zero);
  } else if (activation == ACTIVATION_RELU6) {
    EACH g[i] = vf_select((x[i] > 0.0f) & (x[i] < 6.0f), g[i], zero);
  } else if (activation == ACTIVATION_HARD_SWISH) {
    EACH g[i] *= vf_hard_swish_slope(x[i]);
  } else if (activation == ACTIVATION_SILU) {
    vf_silu_slope_each(n, x, x);
    EACH g[i] *= x[i];
  }
}

#endif
