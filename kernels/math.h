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

/* e^x = 2^n * e^r with n the integer nearest to x / log 2 and |r| <= log(2) / 2. */
ALWAYS_INLINE vf vf_exp(vf x) {
  /* Below, n - 1 would leave the exponent field; above, the result is inf. */
  x = vf_min(vf_splat(89.0f), vf_max(vf_splat(-87.6f), x));
  const vf shifter = vf_splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
  vf shifted = vf_fma(x, vf_splat(1.44269504f), shifter);
  vf n = shifted - shifter;
  vf r = vf_fma(n, vf_splat(-0.693359375f), x);
  r = vf_fma(n, vf_splat(2.12194440e-4f), r);
  vf p = vf_splat(1.381446706e-3f); /* (e^r - 1 - r) / r^2 */
  p = vf_step(p, r, 8.368780555e-3f);
  p = vf_step(p, r, 4.166839422e-2f);
  p = vf_step(p, r, 1.666652011e-1f);
  p = vf_step(p, r, 4.999999341e-1f);
  p = vf_fma(p * r, r, r) + 1.0f;
  /* The low bits of `shifted` hold n; 2^(n-1) is built from them and the last factor 2 is exact. */
  vi power = ((vi)shifted + (126 - 0x4b400000)) << 23;
  return p * (vf)power * 2.0f;
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

/* Q(t) = 1 - Phi(t) for t >= 0, the upper tail of the normal distribution, and e^(-t^2/2).
 * Q(t) = e^(-t^2/2) * u * poly(u), u = 1 / (1 + t/4): the form of Abramowitz and Stegun 7.1.26. */
typedef struct {
  vf tail, bell;
} NormalTail;
ALWAYS_INLINE NormalTail vf_normal_tail(vf t) {
  vf u = vf_reciprocal(vf_fma(t, vf_splat(0.25f), vf_splat(1.0f)));
  vf p = vf_splat(-9.162519494e-2f);
  p = vf_step(p, u, 3.417883158e-1f);
  p = vf_step(p, u, -2.674300462e-1f);
  p = vf_step(p, u, 2.816671339e-1f);
  p = vf_step(p, u, 2.450309830e-2f);
  p = vf_step(p, u, 1.122912776e-1f);
  p = vf_step(p, u, 9.880542635e-2f);
  vf bell = vf_exp(t * t * -0.5f);
  return (NormalTail){bell * p * u, bell};
}

/* |x|, at most 16: Q(16) is zero in float, which keeps inf * 0 out */
ALWAYS_INLINE vf vf_gelu_bound(vf x) { return vf_min(vf_splat(16.0f), vf_abs(x)); }
/* t = vf_gelu_bound(x), tail = Q(t) */
ALWAYS_INLINE vf vf_gelu_value(vf x, vf t, vf tail) { return vf_max(vf_zero(), x) - t * tail; }
ALWAYS_INLINE vf vf_gelu_slope(vf x, vf t, NormalTail normal) {
  vi negative = x < 0.0f;
  vf cdf = vf_select(negative, normal.tail, 1.0f - normal.tail);
  vf slope = t * normal.bell * 0.398942280f;
  return vf_select(negative, cdf - slope, cdf + slope);
}

/* gelu(x) = x Phi(x) = max(x, 0) - |x| Q(|x|) */
ALWAYS_INLINE vf vf_gelu(vf x) {
  vf t = vf_gelu_bound(x);
  return vf_gelu_value(x, t, vf_normal_tail(t).tail);
}

/* gelu'(x) = Phi(x) + x e^(-x^2/2) / sqrt(2 pi) */
ALWAYS_INLINE vf vf_gelu_grad(vf x) {
  vf t = vf_gelu_bound(x);
  return vf_gelu_slope(x, t, vf_normal_tail(t));
}

#endif
