/* activations.c - clamp and its gradient. Every output element depends on one element of each input, read
 * before it is written: outputs may be the same memory as inputs.
 */
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
  vf_put_next(on->y + i, vf_min(on->high, vf_max(on->low, vf_take_next(on->x + i, count))), count);
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
