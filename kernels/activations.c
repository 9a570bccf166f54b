/* activations.c - clamp, hard sigmoid, hard swish, sigmoid, SiLU and their gradients. Every output element
 * depends on one element of each input, read before it is written: outputs may be the same memory as inputs.
 */
#include "activation.h"
#include "kernels.h"
#include "loop.h"

typedef struct {
  const float *x, *dy; /* x: or y, where a gradient reads the result */
  float *y;            /* or dx */
  vf low, high;
} Clamping;

/* The bounds of `clamp_args` or `clamp_grad_args`; where there is none NaN, which nothing is beyond. */
#define CLAMPING(args, from, slope, to)                                        \
  ((Clamping){.x = (from), .dy = (slope), .y = (to),                           \
              .low = vf_splat((args)->bounds & 1 ? (args)->low : __builtin_nanf("")), \
              .high = vf_splat((args)->bounds & 2 ? (args)->high : __builtin_nanf(""))})

ALWAYS_INLINE void clamp_vector(const Clamping *on, i64 i, i64 count) {
  vf_put_next(on->y + i, vf_clamp(vf_take_next(on->x + i, count), on->low, on->high), count);
}

/* y = min(max(x, low), high) */
KERNEL(clamp) {
  const Clamping on = CLAMPING(args, F32(ctx, args->x), 0, F32(ctx, args->y));
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, clamp_vector, &on);
}

ALWAYS_INLINE void clamp_grad_vector(const Clamping *on, i64 i, i64 count) {
  const vf y = vf_take_next(on->x + i, count), dy = vf_take_next(on->dy + i, count);
  const vi held = (y <= on->low) | (y >= on->high);
  vf_put_next(on->y + i, (vf)(~held & (vi)dy), count);
}

/* dx = dy where low < y < high, else 0 */
KERNEL(clamp_grad) {
  const Clamping on = CLAMPING(args, F32(ctx, args->y), F32(ctx, args->dy), F32(ctx, args->dx));
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, clamp_grad_vector, &on);
}

typedef struct {
  const float *x, *dy; /* x: or y, where a gradient reads the result */
  float *y;            /* or dx */
} Arrays;

/* This thread's part of y = f(x) or dx = dy f', `loop` over vectors. */
#define POINTWISE(from, slope, to, loop)                      \
  do {                                                        \
    const Arrays on = {F32(ctx, from), slope, F32(ctx, to)};  \
    i64 begin, end;                                           \
    share(ctx, args->count, GRAIN, &begin, &end);             \
    loop;                                                     \
  } while (0)

ALWAYS_INLINE void hard_sigmoid_vector(const Arrays *on, i64 i, i64 count) {
  vf_put_next(on->y + i, vf_hard_sigmoid(vf_take_next(on->x + i, count)), count);
}

/* y = min(max(x / 6 + 1/2, 0), 1) */
KERNEL(hard_sigmoid) {
  POINTWISE(args->x, 0, args->y, FOR_VECTORS(begin, end, hard_sigmoid_vector, &on));
}

ALWAYS_INLINE void hard_sigmoid_grad_vector(const Arrays *on, i64 i, i64 count) {
  const vf y = vf_take_next(on->x + i, count), dy = vf_take_next(on->dy + i, count);
  const vi held = (y <= 0.0f) | (y >= 1.0f);
  vf_put_next(on->y + i, (vf)(~held & (vi)(dy * (1.0f / 6))), count);
}

/* dx = dy / 6 where 0 < y < 1, else 0 */
KERNEL(hard_sigmoid_grad) {
  POINTWISE(args->y, F32(ctx, args->dy), args->dx,
            FOR_VECTORS(begin, end, hard_sigmoid_grad_vector, &on));
}

ALWAYS_INLINE void hard_swish_vector(const Arrays *on, i64 i, i64 count) {
  const vf x = vf_take_next(on->x + i, count);
  vf_put_next(on->y + i, x * vf_hard_sigmoid(x), count);
}

/* y = x min(max(x / 6 + 1/2, 0), 1) */
KERNEL(hard_swish) {
  POINTWISE(args->x, 0, args->y, FOR_VECTORS(begin, end, hard_swish_vector, &on));
}

ALWAYS_INLINE void hard_swish_grad_vector(const Arrays *on, i64 i, i64 count) {
  const vf x = vf_take_next(on->x + i, count), dy = vf_take_next(on->dy + i, count);
  vf_put_next(on->y + i, dy * vf_hard_swish_slope(x), count);
}

/* dx = dy (x / 3 + 1/2) where -3 < x < 3, else 0 or dy */
KERNEL(hard_swish_grad) {
  POINTWISE(args->x, F32(ctx, args->dy), args->dx,
            FOR_VECTORS(begin, end, hard_swish_grad_vector, &on));
}

ALWAYS_INLINE void sigmoid_vectors(i32 n, const Arrays *on, i64 i0, i64 count) {
  vf x[EACH_VECTORS], rest[EACH_VECTORS];
  EACH x[i] = vf_take_next(on->x + i0 + i * LANES, count);
  vf_sigmoid_each(n, x, x, rest);
  EACH vf_put_next(on->y + i0 + i * LANES, x[i], count);
}

/* y = 1 / (1 + e^-x) */
KERNEL(sigmoid) {
  POINTWISE(args->x, 0, args->y, FOR_EACH_VECTORS(EACH_VECTORS, begin, end, sigmoid_vectors, &on));
}

ALWAYS_INLINE void sigmoid_grad_vector(const Arrays *on, i64 i, i64 count) {
  const vf y = vf_take_next(on->x + i, count), dy = vf_take_next(on->dy + i, count);
  vf_put_next(on->y + i, dy * y * (1.0f - y), count);
}

/* dx = dy y (1 - y) */
KERNEL(sigmoid_grad) {
  POINTWISE(args->y, F32(ctx, args->dy), args->dx, FOR_VECTORS(begin, end, sigmoid_grad_vector, &on));
}

ALWAYS_INLINE void silu_vectors(i32 n, const Arrays *on, i64 i0, i64 count) {
  vf x[EACH_VECTORS], gate[EACH_VECTORS], rest[EACH_VECTORS];
  EACH x[i] = vf_take_next(on->x + i0 + i * LANES, count);
  vf_sigmoid_each(n, x, gate, rest);
  EACH vf_put_next(on->y + i0 + i * LANES, x[i] * gate[i], count);
}

/* y = x / (1 + e^-x) */
KERNEL(silu) {
  POINTWISE(args->x, 0, args->y, FOR_EACH_VECTORS(EACH_VECTORS, begin, end, silu_vectors, &on));
}

ALWAYS_INLINE void silu_grad_vectors(i32 n, const Arrays *on, i64 i0, i64 count) {
  vf x[EACH_VECTORS];
  EACH x[i] = vf_take_next(on->x + i0 + i * LANES, count);
  vf_silu_slope_each(n, x, x);
  EACH x[i] *= vf_take_next(on->dy + i0 + i * LANES, count);
  EACH vf_put_next(on->y + i0 + i * LANES, x[i], count);
}

/* dx = dy s (1 + x (1 - s)), s = 1 / (1 + e^-x) */
KERNEL(silu_grad) {
  POINTWISE(args->x, F32(ctx, args->dy), args->dx,
            FOR_EACH_VECTORS(EACH_VECTORS, begin, end, silu_grad_vectors, &on));
}
