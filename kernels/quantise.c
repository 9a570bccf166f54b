/* quantise.c - rows of floats as signed bytes with one scale each, and back.
 *
 *   q = round(x 127 / max|x|), ties to even,  scale = max|x| / 127,  x' = q scale
 *
 * x, q, x' [rows, cols]; scale [rows]. Rows may be short: the passes hand over groups of 64 that share
 * a scale. A row with NaN or infinity gets such a scale, so that no element of x' is finite.
 */
#include "bytes.h"
#include "kernels.h"
#include "loop.h"

#define LEVELS 127.0f
/* Rows that are smaller throughout become zeros: LEVELS / max would overflow. 2^-100 */
#define TINY 7.8886090522101181e-31f
/* Rows that a thread takes together: the bytes of the shortest ones, and their scales, fill whole
 * cache lines. */
#define ROWS 64

/* The larger of two magnitudes by their bits, which order like the numbers, NaN above all. */
ALWAYS_INLINE vi larger(vi a, vi b) {
  const vi mask = a > b;
  return (a & mask) | (b & ~mask);
}

ALWAYS_INLINE void magnitude_vector(vi *most, const float *x, i64 i, i64 count) {
  *most = larger((vi)vf_abs(vf_take(x + i, count)), *most);
}

static float row_magnitude(const float *x, i64 cols) {
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

static void quantise_row(const float *x, i8 *q, vf factor, i64 cols) {
  i64 i = 0;
  for (; i + LANES <= cols; i += LANES) vi_store_bytes(q + i, rounded(vf_load(x + i), factor));
  if (i == cols) return;
  i8 rest[LANES];
  vi_store_bytes(rest, rounded(vf_load_part(x + i, cols - i), factor));
  for (i64 at = 0; at < cols - i; at++) q[i + at] = rest[at];
}

KERNEL(quantise) {
  float *scales = F32(ctx, args->scale);
  const i64 cols = args->cols;
  i64 begin, end;
  share(ctx, args->rows, ROWS, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const float *x = F32(ctx, args->x) + row * cols;
    const float most = row_magnitude(x, cols);
    const i32 is_tiny = most < TINY; /* false for NaN */
    quantise_row(x, I8(ctx, args->q) + row * cols, vf_splat(is_tiny ? 0 : LEVELS / most), cols);
    scales[row] = is_tiny ? 0 : most / LEVELS;
  }
}

KERNEL(dequantise) {
  const float *scales = F32(ctx, args->scale);
  const i64 cols = args->cols;
  i64 begin, end;
  share(ctx, args->rows, ROWS, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const i8 *q = I8(ctx, args->q) + row * cols;
    float *x = F32(ctx, args->x) + row * cols;
    const vf scale = vf_splat(scales[row]);
    i64 i = 0;
    for (; i + LANES <= cols; i += LANES) {
      vf_store(x + i, __builtin_convertvector(vi_load_bytes(q + i), vf) * scale);
    }
    for (; i < cols; i++) x[i] = (float)q[i] * scales[row];
  }
}
