/* pointwise.c - add, accumulate, accumulate_power, assign, fill, scale, multiply, GELU and its
 * gradient. Every output element depends on one element of each input, read before it is written:
 * outputs may be the same memory as inputs.
 */
#include "kernels.h"
#include "loop.h"
#include "math.h"

typedef struct {
  const float *a, *b;
  float *y;
} Arrays;

ALWAYS_INLINE void add_vector(const Arrays *on, i64 i, i64 count) {
  vf_put_next(on->y + i, vf_take_next(on->a + i, count) + vf_take_next(on->b + i, count), count);
}

/* y[i] = a[i] + b[i % period] */
KERNEL(add) {
  const float *a = F32(ctx, args->a), *b = F32(ctx, args->b);
  float *y = F32(ctx, args->y);
  const i64 period = args->period;
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  while (begin < end) {
    const i64 phase = begin % period, rest = period - phase;
    const i64 run = end - begin < rest ? end - begin : rest;
    const Arrays on = {a + begin, b + phase, y + begin};
    FOR_VECTORS(0, run, add_vector, &on);
    begin += run;
  }
}

/* y = acc + x; y is the memory of acc */
KERNEL(accumulate) {
  const Arrays on = {F32(ctx, args->acc), F32(ctx, args->x), F32(ctx, args->y)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, add_vector, &on);
}

ALWAYS_INLINE void add_square(const Arrays *on, i64 i, i64 count) {
  const vf x = vf_take_next(on->b + i, count);
  vf_put_next(on->y + i, vf_fma(x, x, vf_take_next(on->a + i, count)), count);
}

ALWAYS_INLINE void add_magnitude(const Arrays *on, i64 i, i64 count) {
  const vf x = vf_abs(vf_take_next(on->b + i, count));
  vf_put_next(on->y + i, vf_take_next(on->a + i, count) + x, count);
}

/* y = acc + |x|^power, power 1 or 2; y is the memory of acc */
KERNEL(accumulate_power) {
  const Arrays on = {F32(ctx, args->acc), F32(ctx, args->x), F32(ctx, args->y)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  if (args->power == 2) FOR_VECTORS(begin, end, add_square, &on);
  else FOR_VECTORS(begin, end, add_magnitude, &on);
}

/* y = value; y is the memory of target */
KERNEL(assign) {
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  copy_floats(F32(ctx, args->y) + begin, F32(ctx, args->value) + begin, end - begin);
}

KERNEL(fill) {
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  fill_floats(F32(ctx, args->y) + begin, args->value, end - begin);
}

typedef struct {
  const float *x;
  float *y;
  vf factor;
} Scaling;

ALWAYS_INLINE void scale_vector(const Scaling *on, i64 i, i64 count) {
  vf_put(on->y + i, vf_take(on->x + i, count) * on->factor, count);
}

/* y = factor x */
KERNEL(scale) {
  const Scaling on = {F32(ctx, args->x), F32(ctx, args->y), vf_splat(args->factor)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, scale_vector, &on);
}

ALWAYS_INLINE void multiply_vector(const Arrays *on, i64 i, i64 count) {
  vf_put(on->y + i, vf_take(on->a + i, count) * vf_take(on->b + i, count), count);
}

/* y[i] = a[i] b[i / run]; y may be a, or b where run is 1 */
KERNEL(multiply) {
  const float *a = F32(ctx, args->a), *b = F32(ctx, args->b);
  float *y = F32(ctx, args->y);
  const i64 run = args->run;
  i64 begin, end;
  if (run == 1) {
    const Arrays on = {a, b, y};
    share(ctx, args->count, GRAIN, &begin, &end);
    FOR_VECTORS(begin, end, multiply_vector, &on);
    return;
  }
  share(ctx, args->count / run, 1 + GRAIN / run, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const Scaling on = {a + row * run, y + row * run, vf_splat(b[row])};
    FOR_VECTORS(0, run, scale_vector, &on);
  }
}

typedef struct {
  const float *x, *dy;
  float *y, *dx; /* y may be null beside dx */
} Gelu;

ALWAYS_INLINE void gelu_vectors(i32 n, const Gelu *on, i64 i0, i64 count) {
  vf x[EACH_VECTORS];
  EACH x[i] = vf_take_next(on->x + i0 + i * LANES, count);
  vf_gelu_each(n, x, x, 0);
  EACH vf_put_next(on->y + i0 + i * LANES, x[i], count);
}

/* y = x P(x), P the normal distribution function */
KERNEL(gelu) {
  const Gelu on = {.x = F32(ctx, args->x), .y = F32(ctx, args->y)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_EACH_VECTORS(EACH_VECTORS, begin, end, gelu_vectors, &on);
}

ALWAYS_INLINE void gelu_grad_vectors(i32 n, const Gelu *on, i64 i0, i64 count) {
  vf x[EACH_VECTORS], slope[EACH_VECTORS];
  EACH x[i] = vf_take_next(on->x + i0 + i * LANES, count);
  vf_gelu_each(n, x, 0, slope);
  EACH slope[i] *= vf_take_next(on->dy + i0 + i * LANES, count);
  EACH vf_put_next(on->dx + i0 + i * LANES, slope[i], count);
}

ALWAYS_INLINE void gelu_pair_vectors(i32 n, const Gelu *on, i64 i0, i64 count) {
  vf x[EACH_VECTORS], slope[EACH_VECTORS], dy[EACH_VECTORS];
  EACH x[i] = vf_take_next(on->x + i0 + i * LANES, count);
  EACH dy[i] = vf_take_next(on->dy + i0 + i * LANES, count);
  vf_gelu_each(n, x, x, slope);
  EACH vf_put_next(on->dx + i0 + i * LANES, dy[i] * slope[i], count);
  EACH vf_put_next(on->y + i0 + i * LANES, x[i], count);
}

/* dx = dy (P(x) + x p(x)), p the normal density; y, which may be absent, is gelu's */
KERNEL(gelu_grad) {
  const Gelu on = {F32(ctx, args->x), F32(ctx, args->dy), F32(ctx, args->y), F32(ctx, args->dx)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  if (on.y) FOR_EACH_VECTORS(EACH_VECTORS, begin, end, gelu_pair_vectors, &on);
  else FOR_EACH_VECTORS(EACH_VECTORS, begin, end, gelu_grad_vectors, &on);
}
