/* math.h - exp, log and the exact (erf) GELU on vectors, accurate to a few units in the last place.
 *
 * NaN stays NaN; infinities give the limits. Results below about 1.7e-38 are flushed to zero.
 * Polynomials are weighted minimax fits (Lawson's iteration) of the functions named beside them.
 * Against float64: exp 1e-7 relative, log 2e-7 relative, gelu 1e-7 of max(1, |x|), its derivative
 * 3e-7; test/check.c asserts 3e-7 for all of them.
 */
#ifndef THIMBLE_MATH_H
#define THIMBLE_MATH_H

#include "simd.h"

/* A step of Horner's rule. */
ALWAYS_INLINE vf vf_step(vf r, vf x, float c) { return vf_fma(r, x, vf_splat(c)); }

/* Functions named _each take `n` vectors, a constant up to EACH_VECTORS, one step of all before the
 * next step of any: a step waits some four cycles for the one before, and a core does not look far
 * enough ahead to find other work meanwhile. On AVX-512 four at once take 0.6 of the time. */
#define EACH_VECTORS (LANES == 16 ? 4 : 2)
#define EACH UNROLL_LOOP for (i32 i = 0; i < n; i++)

/* e^x = 2^n * e^r with n the integer nearest to x / log 2 and |r| <= log(2) / 2. With
 * `not_positive`, a constant, x is below 88 and two steps less. */
ALWAYS_INLINE void vf_exp_each(i32 n, vf *x, i32 not_positive) {
  vf shifted[EACH_VECTORS], r[EACH_VECTORS], p[EACH_VECTORS];
  const vf shifter = vf_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
  /* Below, n - 1 would leave the exponent field; above, the result is inf. */
  EACH x[i] = vf_max(vf_splat(-87.6f), x[i]);
  if (!not_positive) {
    EACH x[i] = vf_min(vf_splat(89.0f), x[i]);
  }
  EACH shifted[i] = vf_fma(x[i], vf_splat(1.44269504f), shifter);
  EACH p[i] = shifted[i] - shifter;
  EACH r[i] = vf_fma(p[i], vf_splat(-0.693359375f), x[i]);
  EACH r[i] = vf_fma(p[i], vf_splat(2.12194440e-4f), r[i]);
  EACH p[i] = vf_splat(1.381446706e-3f); /* (e^r - 1 - r) / r^2 */
  EACH p[i] = vf_step(p[i], r[i], 8.368780555e-3f);
  EACH p[i] = vf_step(p[i], r[i], 4.166839422e-2f);
  EACH p[i] = vf_step(p[i], r[i], 1.666652011e-1f);
  EACH p[i] = vf_step(p[i], r[i], 4.999999341e-1f);
  EACH p[i] = p[i] * r[i];
  EACH p[i] = vf_fma(p[i], r[i], r[i]);
  EACH p[i] = p[i] + 1.0f;
  /* The low bits of `shifted` hold n; 2^(n-1) is built from them and the last factor 2 is exact. */
  EACH shifted[i] = (vf)(((vi)shifted[i] + (126 - 0x4b400000)) << 23);
  EACH x[i] = p[i] * (vf)shifted[i] * 2.0f;
}
ALWAYS_INLINE vf vf_exp(vf x) {
  vf_exp_each(1, &x, 0);
  return x;
}

/* log x = e * log 2 + log m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)). */
ALWAYS_INLINE vf vf_log(vf x) {
  const vf infinity = vf_splat(__builtin_inff()), quiet_nan = vf_splat(__builtin_nanf(""));
  vi tiny = x < 1.17549435e-38f;
  vf scaled = vf_select(tiny, x * 8388608.0f, x);
  vi bits = (vi)scaled - 0x3f3504f3; /* relative to sqrt(1/2) */
  vf e = __builtin_convertvector(bits >> 23, vf) - vf_select(tiny, vf_splat(23.0f), vf_zero());
  vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3);
  vf s = (m - 1.0f) / (m + 1.0f), z = s * s;
  vf p = vf_splat(2.987136657e-1f); /* (2 atanh(s) - 2 s) / s^3 in z = s^2 */
  p = vf_step(p, z, 3.997755936e-1f);
  p = vf_step(p, z, 6.666677619e-1f);
  vf y = vf_fma(p * z, s, e * 1.42860677e-6f) + (s + s);
  y = vf_fma(e, vf_splat(0.693145752f), y);
  y = vf_select(x == infinity, infinity, y);
  y = vf_select(x == 0.0f, -infinity, y);
  return vf_select((x < 0.0f) | (x != x), quiet_nan, y);
}
ALWAYS_INLINE float log_scalar(float x) { return vf_log(vf_splat(x))[0]; }
ALWAYS_INLINE float exp_scalar(float x) { return vf_exp(vf_splat(x))[0]; }

/* For t >= 0: u * poly(u) = e^(t^2/2) Q(t) with u = 1 / (1 + t/4) and Q(t) = 1 - Phi(t), the upper
 * tail of the normal distribution: the form of Abramowitz and Stegun 7.1.26. */
ALWAYS_INLINE void vf_tail_each(i32 n, const vf *t, vf *p) {
  vf u[EACH_VECTORS];
  EACH u[i] = vf_reciprocal(vf_fma(t[i], vf_splat(0.25f), vf_splat(1.0f)));
  EACH p[i] = vf_splat(-9.162519494e-2f);
  EACH p[i] = vf_step(p[i], u[i], 3.417883158e-1f);
  EACH p[i] = vf_step(p[i], u[i], -2.674300462e-1f);
  EACH p[i] = vf_step(p[i], u[i], 2.816671339e-1f);
  EACH p[i] = vf_step(p[i], u[i], 2.450309830e-2f);
  EACH p[i] = vf_step(p[i], u[i], 1.122912776e-1f);
  EACH p[i] = vf_step(p[i], u[i], 9.880542635e-2f);
  EACH p[i] = p[i] * u[i];
}

/* gelu(x) = x Phi(x) = max(x, 0) - |x| Q(|x|), and its derivative Phi(x) + x e^(-x^2/2) / sqrt(2 pi).
 * Either result may be null, a constant; value may be x. */
ALWAYS_INLINE void vf_gelu_each(i32 n, const vf *x, vf *value, vf *slope) {
  vf t[EACH_VECTORS], bell[EACH_VECTORS], tail[EACH_VECTORS];
  /* Q(16) is zero in float, which keeps inf * 0 out. */
  EACH t[i] = vf_min(vf_splat(16.0f), vf_abs(x[i]));
  EACH bell[i] = t[i] * t[i] * -0.5f;
  vf_exp_each(n, bell, 1);
  vf_tail_each(n, t, tail);
  EACH tail[i] = bell[i] * tail[i];
  /* Sums of products are spelled out: a compiler that fuses some of them would make the value's bits
   * depend on whether the slope is needed too, and what is recomputed would differ. */
  if (slope) {
    vi negative[EACH_VECTORS];
    vf above[EACH_VECTORS];
    EACH bell[i] = t[i] * bell[i];
    EACH negative[i] = x[i] < 0.0f;
    EACH above[i] = vf_fma(tail[i], vf_splat(-1.0f), vf_splat(1.0f));
    EACH above[i] = vf_fma(bell[i], vf_splat(0.398942280f), above[i]);
    EACH bell[i] = vf_fma(bell[i], vf_splat(-0.398942280f), tail[i]);
    EACH slope[i] = vf_select(negative[i], bell[i], above[i]);
  }
  if (value) {
    EACH tail[i] = vf_fma(vf_negate(t[i]), tail[i], vf_max(vf_zero(), x[i]));
    EACH value[i] = tail[i];
  }
}
ALWAYS_INLINE vf vf_gelu(vf x) {
  vf_gelu_each(1, &x, &x, 0);
  return x;
}
ALWAYS_INLINE vf vf_gelu_grad(vf x) {
  vf slope;
  vf_gelu_each(1, &x, 0, &slope);
  return slope;
}

#endif
