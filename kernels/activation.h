/* activation.h - the activations that a kernel applies to its result, and their slopes.
 *
 * The numbers are those of packages/core/src/ops/batch-norm-activation.ts. Where an activation has a
 * kink, its slope is PyTorch's choice of the two. NaN stays NaN.
 */
#ifndef THIMBLE_ACTIVATION_H
#define THIMBLE_ACTIVATION_H

#include "math.h"

#define ACTIVATION_NONE 0
#define ACTIVATION_RELU 1
#define ACTIVATION_RELU6 2
#define ACTIVATION_HARD_SWISH 3
#define ACTIVATION_SILU 4

/* 1 / (1 + e^-x) */
ALWAYS_INLINE void vf_sigmoid_each(i32 n, vf *x) {
  EACH x[i] = vf_negate(x[i]);
  /* e^87 keeps the divisor within what vf_reciprocal takes. */
  EACH x[i] = vf_min(vf_splat(87.0f), x[i]);
  vf_exp_each(n, x, 1);
  EACH x[i] = vf_reciprocal(x[i] + 1.0f);
}

/* x[i] = activation(x[i]); `activation` is a constant. */
ALWAYS_INLINE void vf_activate_each(i32 n, i32 activation, vf *x) {
  const vf zero = vf_zero(), six = vf_splat(6.0f);
  if (activation == ACTIVATION_RELU) {
    EACH x[i] = vf_max(zero, x[i]);
  } else if (activation == ACTIVATION_RELU6) {
    EACH x[i] = vf_min(six, vf_max(zero, x[i]));
  } else if (activation == ACTIVATION_HARD_SWISH) {
    EACH x[i] *= vf_min(six, vf_max(zero, x[i] + 3.0f)) * (1.0f / 6);
  } else if (activation == ACTIVATION_SILU) {
    vf gate[EACH_VECTORS];
    EACH gate[i] = x[i];
    vf_sigmoid_each(n, gate);
    EACH x[i] *= gate[i];
  }
}

/* g[i] *= slope of the activation at x[i], which is lost; `activation` is a constant. */
ALWAYS_INLINE void vf_times_slope_each(i32 n, i32 activation, vf *x, vf *g) {
  const vf zero = vf_zero();
  if (activation == ACTIVATION_RELU) {
    EACH g[i] = vf_select(x[i] > 0.0f, g[i], zero);
  } else if (activation == ACTIVATION_RELU6) {
    EACH g[i] = vf_select((x[i] > 0.0f) & (x[i] < 6.0f), g[i], zero);
  } else if (activation == ACTIVATION_HARD_SWISH) {
    vf slope[EACH_VECTORS];
    EACH slope[i] = vf_fma(x[i], vf_splat(1.0f / 3), vf_splat(0.5f));
    EACH slope[i] = vf_select(x[i] < 3.0f, slope[i], vf_splat(1.0f));
    EACH g[i] *= vf_select(x[i] > -3.0f, slope[i], zero);
  } else if (activation == ACTIVATION_SILU) {
    vf gate[EACH_VECTORS], rest[EACH_VECTORS];
    EACH gate[i] = x[i];
    vf_sigmoid_each(n, gate);
    EACH rest[i] = vf_fma(gate[i], vf_splat(-1.0f), vf_splat(1.0f));
    EACH rest[i] = vf_fma(x[i], rest[i], vf_splat(1.0f));
    EACH g[i] *= gate[i] * rest[i];
  }
}

#endif
