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
#include "magnitude.h"

/* Rows that a thread takes together: the bytes of the shortest ones, and their scales, fill whole
 * cache lines. */
#define ROWS 64

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
