/* magnitude.h - the largest magnitude of a row, and the codes in signed bytes that count from it. */
#ifndef THIMBLE_MAGNITUDE_H
#define THIMBLE_MAGNITUDE_H

#include "loop.h"

/* The largest code. */
#define LEVELS 127.0f
/* Rows that are smaller throughout become zeros: LEVELS / max would overflow. 2^-100 */
#define TINY 7.8886090522101181e-31f

/* The larger of two magnitudes by their bits, which order like the numbers, NaN above all. */
ALWAYS_INLINE vi larger(vi a, vi b) {
  const vi mask = a > b;
  return (a & mask) | (b & ~mask);
}

ALWAYS_INLINE void magnitude_vector(vi *most, const float *x, i64 i, i64 count) {
  *most = larger((vi)vf_abs(vf_take(x + i, count)), *most);
}

static inline float row_magnitude(const float *x, i64 cols) {
  vi even = {0}, odd = {0};
  i64 i = 0;
  for (; i + 2 * LANES <= cols; i += 2 * LANES) {
    magnitude_vector(&even, x, i, LANES);
    magnitude_vector(&odd, x, i + LANES, LANES);
  }
  for (; i < cols; i += LANES) magnitude_vector(&even, x, i, cols - i);
  even = larger(even, odd);
#if LANES == 16
  even = larger(even, (vi)VF_DOWN8((vf)even));
#endif
#if LANES >= 8
  even = larger(even, (vi)VF_DOWN4((vf)even));
#endif
  even = larger(even, (vi)VF_DOWN2((vf)even));
  even = larger(even, (vi)VF_DOWN1((vf)even));
  return ((vf)even)[0];
}

/* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits. */
ALWAYS_INLINE vi rounded(vf x, vf factor) {
  return (vi)vf_fma(x, factor, vf_splat(12582912.0f)) - 0x4b400000;
}

#endif
