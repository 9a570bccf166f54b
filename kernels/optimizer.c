/* optimizer.c - parameter updates in place, with PyTorch's semantics.
 *
 * lr is a 1-element tensor so that a schedule needs no new program; scale (optional) is the factor
 * of gradient clipping, which multiplies the gradient first. The *_out operands are the memory of
 * their inputs.
 */
#include "kernels.h"
#include "loop.h"

typedef struct {
  float *param, *velocity;
  const float *grad;
  vf scale, lr, decay, momentum;
  i32 nesterov;
} Sgd;

ALWAYS_INLINE vf decayed_grad(const Sgd *step, vf param, i64 i, i64 count) {
  return vf_fma(step->decay, param, vf_take(step->grad + i, count) * step->scale);
}

ALWAYS_INLINE void sgd_vector(const Sgd *step, i64 i, i64 count) {
  const vf param = vf_take(step->param + i, count);
  const vf grad = decayed_grad(step, param, i, count);
  vf_put(step->param + i, param - step->lr * grad, count);
}

ALWAYS_INLINE void momentum_vector(const Sgd *step, i64 i, i64 count) {
  const vf param = vf_take(step->param + i, count);
  const vf grad = decayed_grad(step, param, i, count);
  const vf velocity = vf_fma(step->momentum, vf_take(step->velocity + i, count), grad);
  const vf update = step->nesterov ? vf_fma(step->momentum, velocity, grad) : velocity;
  vf_put(step->velocity + i, velocity, count);
  vf_put(step->param + i, param - step->lr * update, count);
}

/* g = scale grad + weight_decay param;  v = momentum v + g;  param -= lr (nesterov ? g + momentum
 * v : v) */
KERNEL(sgd) {
  const float *scale = F32(ctx, args->scale);
  const Sgd step = {
      F32(ctx, args->param), F32(ctx, args->velocity), F32(ctx, args->grad),
      vf_splat(scale ? scale[0] : 1), vf_splat(F32(ctx, args->lr)[0]),
      vf_splat(args->weight_decay), vf_splat(args->momentum), args->nesterov};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  if (step.velocity) FOR_VECTORS(begin, end, momentum_vector, &step);
  else FOR_VECTORS(begin, end, sgd_vector, &step);
}

typedef struct {
  float *velocity, *step;
  const float *grad, *param;
  vf scale, momentum, decay;
} Velocity;

ALWAYS_INLINE void velocity_vector(const Velocity *on, i64 i, i64 count) {
  vf grad = vf_take(on->grad + i, count) * on->scale;
  if (on->param) grad = vf_fma(on->decay, vf_take(on->param + i, count), grad);
  const vf velocity = vf_fma(on->momentum, vf_take(on->velocity + i, count), grad);
  vf_put(on->velocity + i, velocity, count);
  if (on->step) vf_put(on->step + i, vf_fma(on->momentum, velocity, grad), count);
}

/* g = scale grad + weight_decay param;  v = momentum v + g;  step = g + momentum v; step may be the
 * memory of grad */
KERNEL(velocity) {
  const float *scale = F32(ctx, args->scale);
  const Velocity on = {
      F32(ctx, args->velocity), F32(ctx, args->step), F32(ctx, args->grad), F32(ctx, args->param),
      vf_splat(scale ? scale[0] : 1), vf_splat(args->momentum), vf_splat(args->weight_decay)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, velocity_vector, &on);
}

typedef struct {
  float *param, *m, *v;
  const float *grad;
  vf scale, keep;    /* keep: 1 - lr weight_decay */
  vf beta1, beta2;
  vf gain1, gain2;   /* 1 - beta */
  vf step_size;      /* lr / (1 - beta1^t) */
  vf root_scale;     /* 1 / sqrt(1 - beta2^t) */
  vf eps;
} Adam;

ALWAYS_INLINE void adam_vector(const Adam *step, i64 i, i64 count) {
  const vf grad = vf_take(step->grad + i, count) * step->scale;
  const vf m = vf_fma(step->beta1, vf_take(step->m + i, count), step->gain1 * grad);
  const vf v = vf_fma(step->beta2, vf_take(step->v + i, count), step->gain2 * grad * grad);
  const vf update = m / vf_fma(vf_sqrt(v), step->root_scale, step->eps);
  vf_put(step->m + i, m, count);
  vf_put(step->v + i, v, count);
  vf_put(step->param + i,
         vf_take(step->param + i, count) * step->keep - step->step_size * update, count);
}

/* AdamW, decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2). The host supplies
 * correction = {1 / (1 - beta1^t), 1 / sqrt(1 - beta2^t)} for step t = 1, 2, ... */
KERNEL(adamw) {
  const float *scale = F32(ctx, args->scale), *correction = F32(ctx, args->correction);
  const float lr = F32(ctx, args->lr)[0];
  const Adam step = {
      F32(ctx, args->param), F32(ctx, args->m), F32(ctx, args->v), F32(ctx, args->grad),
      vf_splat(scale ? scale[0] : 1), vf_splat(1 - lr * args->weight_decay),
      vf_splat(args->beta1), vf_splat(args->beta2),
      vf_splat(args->gain1), vf_splat(args->gain2),
      vf_splat(lr * correction[0]), vf_splat(correction[1]), vf_splat(args->eps)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, adam_vector, &step);
}
