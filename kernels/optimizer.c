/* optimizer.c - parameter updates in place, with PyTorch's semantics.
 *
 * lr is a 1-element tensor so that a schedule needs no new program; scale (optional) is the factor
 * of gradient clipping, which multiplies the gradient first. The *_out operands are the memory of
 * their inputs.
 */
#include "bytes.h"
#include "kernels.h"
#include "loop.h"
#include "magnitude.h"

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

/* Elements that share a magnitude, and the groups that a thread takes together: whole pages of
 * the gradient. */
#define GROUP 64
#define GROUPS 16

typedef struct {
  i8 *codes;
  float *magnitudes, *step;
  const float *grad, *param;
  vf scale, momentum, decay;
  i32 nesterov;
} QuantisedVelocity;

/* The elements of a group from `first` on; `codes` may be read to the end of a whole group. */
ALWAYS_INLINE void velocity_group(const QuantisedVelocity *on, i64 first, i64 count, i8 *codes) {
  float *magnitude = on->magnitudes + first / GROUP;
  const vf unit = vf_splat(*magnitude / (LEVELS * LEVELS));
  float next[GROUP];
  for (i64 i = 0; i < count; i += LANES) {
    const i64 at = first + i, rest = count - i;
    const vf code = __builtin_convertvector(vi_load_bytes(codes + i), vf);
    vf grad = vf_take(on->grad + at, rest) * on->scale;
    if (on->param) grad = vf_fma(on->decay, vf_take(on->param + at, rest), grad);
    const vf velocity = vf_fma(on->momentum, code * vf_abs(code) * unit, grad);
    vf_store(next + i, velocity);
    vf_put(on->step + at, on->nesterov ? vf_fma(on->momentum, velocity, grad) : velocity, rest);
  }
  const float most = row_magnitude(next, count);
  const i32 is_tiny = most < TINY; /* false for NaN */
  const vf inverse = vf_splat(is_tiny ? 0 : 1 / most);
  for (i64 i = 0; i < count; i += LANES) {
    const vf velocity = vf_load(next + i);
    const vi code = rounded(vf_sqrt(vf_abs(velocity) * inverse), vf_splat(LEVELS));
    const vi sign = (vi)(velocity < vf_splat(0));
    vi_store_bytes(codes + i, (code ^ sign) - sign);
  }
  *magnitude = is_tiny ? 0 : most;
}

/* v = m c |c| / 127^2;  g = scale grad + weight_decay param;  v = momentum v + g;  step = v, with
 * Nesterov g + momentum v, may be the memory of grad;  m = max |v| of each group,
 * c = +-round(127 sqrt(|v| / m)) */
KERNEL(quantised_velocity) {
  const float *scale = F32(ctx, args->scale);
  const QuantisedVelocity on = {
      I8(ctx, args->codes), F32(ctx, args->magnitudes), F32(ctx, args->step),
      F32(ctx, args->grad), F32(ctx, args->param),
      vf_splat(scale ? scale[0] : 1), vf_splat(args->momentum), vf_splat(args->weight_decay),
      args->nesterov};
  const i64 count = args->count, whole = count / GROUP;
  i64 begin, end;
  share(ctx, (count + GROUP - 1) / GROUP, GROUPS, &begin, &end);
  for (i64 group = begin; group < end; group++) {
    i8 *codes = on.codes + group * GROUP;
    if (group < whole) {
      velocity_group(&on, group * GROUP, GROUP, codes);
      continue;
    }
    const i64 rest = count - group * GROUP;
    i8 copy[GROUP] = {0};
    for (i64 i = 0; i < rest; i++) copy[i] = codes[i];
    velocity_group(&on, group * GROUP, rest, copy);
    for (i64 i = 0; i < rest; i++) codes[i] = copy[i];
  }
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

typedef struct {
  float *m, *v, *step;
  const float *grad;
  vf scale, beta1, beta2;
  vf gain1, gain2;   /* 1 - beta */
  vf gain;           /* 1 / (1 - beta1^t) */
  vf root_scale;     /* 1 / sqrt(1 - beta2^t) */
  vf eps;
} AdamStep;

ALWAYS_INLINE void adam_step_vector(const AdamStep *on, i64 i, i64 count) {
  const vf grad = vf_take(on->grad + i, count) * on->scale;
  const vf m = vf_fma(on->beta1, vf_take(on->m + i, count), on->gain1 * grad);
  const vf v = vf_fma(on->beta2, vf_take(on->v + i, count), on->gain2 * grad * grad);
  vf_put(on->m + i, m, count);
  vf_put(on->v + i, v, count);
  vf_put(on->step + i, on->gain * m / vf_fma(vf_sqrt(v), on->root_scale, on->eps), count);
}

/* The moments of adamw and the direction by itself; step may be the memory of grad */
KERNEL(adam_step) {
  const float *scale = F32(ctx, args->scale), *correction = F32(ctx, args->correction);
  const AdamStep on = {
      F32(ctx, args->m), F32(ctx, args->v), F32(ctx, args->step), F32(ctx, args->grad),
      vf_splat(scale ? scale[0] : 1), vf_splat(args->beta1), vf_splat(args->beta2),
      vf_splat(args->gain1), vf_splat(args->gain2),
      vf_splat(correction[0]), vf_splat(correction[1]), vf_splat(args->eps)};
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  FOR_VECTORS(begin, end, adam_step_vector, &on);
}

/* known = beta known + (1 - beta);  correction = {1 / known[0], 1 / sqrt(known[1])}, in place */
KERNEL(bias_correction) {
  if (ctx->thread != 0) return;
  float *known = F32(ctx, args->known), *correction = F32(ctx, args->correction);
  known[0] = args->beta1 * known[0] + args->gain1;
  known[1] = args->beta2 * known[1] + args->gain2;
  correction[0] = 1 / known[0];
  correction[1] = 1 / __builtin_sqrtf(known[1]);
}

/* Rows of the weight that are changed at a time: each vector of the factors is read once for them. */
#define CHANGED_ROWS 4

typedef struct {
  float *param; /* the first of the rows */
  const float *u, *v, *u_next, *v_next; /* u at the column of the first row */
  i64 outputs, inputs, rank;
  vf keep; /* 1 - lr weight_decay */
} Change;

ALWAYS_INLINE void change_vector(const Change *on, i64 i, i64 count, i32 rows) {
  vf sum[CHANGED_ROWS];
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
    sum[r] = on->keep * vf_take(on->param + r * on->inputs + i, count);
  }
  for (i64 k = 0; k < on->rank; k++) {
    const vf next = vf_take(on->v_next + k * on->inputs + i, count);
    const vf moved = next - vf_take(on->v + k * on->inputs + i, count);
    const float *u = on->u + k * on->outputs, *u_next = on->u_next + k * on->outputs;
    UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
      sum[r] = vf_fma(vf_splat(u_next[r] - u[r]), next, sum[r]);
      sum[r] = vf_fma(vf_splat(u[r]), moved, sum[r]);
    }
  }
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
    vf_put(on->param + r * on->inputs + i, sum[r], count);
  }
}
ALWAYS_INLINE void change_rows(const Change *on, i64 i, i64 count) {
  change_vector(on, i, count, CHANGED_ROWS);
}
ALWAYS_INLINE void change_row(const Change *on, i64 i, i64 count) {
  change_vector(on, i, count, 1);
}

/* param = (1 - lr weight_decay) param + (u_next - u)^T v_next + u^T (v_next - v) */
KERNEL(product_change) {
  const i64 outputs = args->outputs, inputs = args->inputs;
  const vf keep = vf_splat(1 - F32(ctx, args->lr)[0] * args->weight_decay);
  i64 begin, end;
  share(ctx, outputs, CHANGED_ROWS, &begin, &end);
  for (i64 row = begin; row < end;) {
    const Change on = {F32(ctx, args->param) + row * inputs, F32(ctx, args->u) + row,
                       F32(ctx, args->v), F32(ctx, args->u_next) + row, F32(ctx, args->v_next),
                       outputs, inputs, args->rank, keep};
    if (row + CHANGED_ROWS <= end) {
      FOR_VECTORS(0, inputs, change_rows, &on);
      row += CHANGED_ROWS;
    } else {
      FOR_VECTORS(0, inputs, change_row, &on);
      row++;
    }
  }
}
