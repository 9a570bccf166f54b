/* check.c - the matrix kernels against float64 loops, and one, two and four threads bit for bit.
 * A developer's tool outside the product build; bench.c times what this file has checked.
 *   make -C kernels/test check
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "../math.h"

static int failures = 0;

static void expect(int good, const char *what, double error) {
  if (good) return;
  failures++;
  if (failures <= 20) printf("FAIL %s: error %.3g\n", what, error);
}

/* ---- math.h ---------------------------------------------------------------------------------- */

static double phi(double x) { return 0.5 * erfc(-x * 0.70710678118654752); }
static double gelu64(double x) { return x * phi(x); }
static double gelu_grad64(double x) { return phi(x) + x * exp(-0.5 * x * x) * 0.3989422804014327; }

static void check_math(void) {
  double worst[4] = {0, 0, 0, 0};
  for (double x = -86.9; x < 88.7; x += 0.001) {
    float at = (float)x;
    worst[0] = fmax(worst[0], fabs(exp_scalar(at) / exp(at) - 1));
    double size = fmax(1, fabs(at));
    worst[2] = fmax(worst[2], fabs(vf_gelu(vf_splat(at))[0] - gelu64(at)) / size);
    worst[3] = fmax(worst[3], fabs(vf_gelu_grad(vf_splat(at))[0] - gelu_grad64(at)));
  }
  for (double x = 1e-44; x < 3e38; x *= 1.0007) {
    float at = (float)x;
    worst[1] = fmax(worst[1], fabs(log_scalar(at) - log(at)) / fmax(fabs(log(at)), 1e-30));
  }
  const char *names[4] = {"exp", "log", "gelu", "gelu'"};
  for (int i = 0; i < 4; i++) {
    expect(worst[i] < 3e-7, names[i], worst[i]);
    printf("%s %.1e  ", names[i], worst[i]);
  }
  printf("\n");
  expect(exp_scalar(-INFINITY) == 0 && exp_scalar(INFINITY) == INFINITY, "exp(inf)", 0);
  expect(isnan(exp_scalar(NAN)) && isnan(log_scalar(NAN)), "exp, log of NaN", 0);
  expect(log_scalar(0) == -INFINITY && log_scalar(INFINITY) == INFINITY, "log(0), log(inf)", 0);
  expect(isnan(vf_gelu(vf_splat(NAN))[0]) && isnan(vf_gelu_grad(vf_splat(NAN))[0]), "gelu NaN", 0);
  expect(vf_gelu(vf_splat(INFINITY))[0] == INFINITY, "gelu(inf)", 0);
}

/* ---- matmul ---------------------------------------------------------------------------------- */

typedef struct {
  int batch, m, n, k, trans_a, trans_b, shared_b, bias, gelu, pre;
  int residual; /* 2: in place */
} Case;

static void matmul64(const Case *c, const Arena *arena, const struct matmul_args *args, double *y,
                     double *pre, double *scale) {
  const float *a = at(arena, args->a), *b = at(arena, args->b), *bias = at(arena, args->bias);
  const float *residual = at(arena, args->residual);
  for (int s = 0; s < c->batch; s++) {
    for (int i = 0; i < c->m; i++) {
      for (int j = 0; j < c->n; j++) {
        double sum = bias ? bias[j] : 0, size = fabs(sum) + 1;
        for (int p = 0; p < c->k; p++) {
          const float *as = a + (size_t)s * c->m * c->k;
          const float *bs = b + (c->shared_b ? 0 : (size_t)s * c->k * c->n);
          double term = (double)as[c->trans_a ? p * c->m + i : i * c->k + p] *
                        bs[c->trans_b ? j * c->k + p : p * c->n + j];
          sum += term;
          size += fabs(term);
        }
        size_t index = ((size_t)s * c->m + i) * c->n + j;
        pre[index] = sum;
        if (c->gelu) sum = gelu64(sum);
        y[index] = sum + (residual ? residual[index] : 0);
        scale[index] = size;
      }
    }
  }
}

static void check_matmul(const Case *c) {
  Arena arena = arena_new();
  size_t out = (size_t)c->batch * c->m * c->n;
  struct matmul_args args = {.batch = c->batch, .m = c->m, .n = c->n, .k = c->k,
                             .trans_a = c->trans_a, .trans_b = c->trans_b,
                             .shared_b = c->shared_b, .gelu = c->gelu};
  args.a = arena_random(&arena, (size_t)c->batch * c->m * c->k);
  args.b = arena_random(&arena, (size_t)(c->shared_b ? 1 : c->batch) * c->k * c->n);
  args.bias = c->bias ? arena_random(&arena, c->n) : -1;
  args.residual = c->residual ? arena_random(&arena, out) : -1;
  args.pre = c->pre ? arena_random(&arena, out) : -1;
  args.y = c->residual == 2 ? args.residual : arena_random(&arena, out);
  int guard = arena_random(&arena, 16);
  double *y = malloc(out * 8), *pre = malloc(out * 8), *scale = malloc(out * 8);
  matmul64(c, &arena, &args, y, pre, scale);
  float *start = malloc(arena.used), *first = 0;
  memcpy(start, arena.base, arena.used);
  char name[200];
  snprintf(name, sizeof name, "matmul batch %d m %d n %d k %d ta %d tb %d shared %d bias %d "
           "residual %d gelu %d pre %d", c->batch, c->m, c->n, c->k, c->trans_a, c->trans_b,
           c->shared_b, c->bias, c->residual, c->gelu, c->pre);
  for (int threads = 1; threads <= 4; threads *= 2) {
    memcpy(arena.base, start, arena.used);
    run_threads(&arena, threads, (Kernel)SUFFIX(kernel_matmul), &args);
    double worst = 0;
    for (size_t i = 0; i < out; i++) {
      double limit = 2e-6 * scale[i];
      double error = fabs(at(&arena, args.y)[i] - y[i]) / limit;
      if (c->pre) error = fmax(error, fabs(at(&arena, args.pre)[i] - pre[i]) / limit);
      if (!(error <= worst)) worst = error;
    }
    expect(worst <= 1, name, worst);
    expect(memcmp(at(&arena, guard), (char *)start + (size_t)guard * 64, 64) == 0, name, -1);
    if (threads == 1) {
      first = malloc(arena.used);
      memcpy(first, arena.base, arena.used);
    }
    expect(memcmp(first, arena.base, arena.used) == 0, name, -threads);
  }
  free(first), free(start), free(y), free(pre), free(scale);
  arena_free(&arena);
}

static int random_size(int limit) { return 1 + (int)(next_random() % (unsigned)limit); }

static void check_matmuls(void) {
  for (int i = 0; i < 400; i++) {
    Case c = {1 + i % 3, random_size(70), random_size(70), random_size(70), i & 1, i >> 1 & 1};
    c.shared_b = i >> 2 & 1;
    c.bias = i >> 3 & 1;
    c.gelu = next_random() % 3 == 0;
    c.residual = (int)(next_random() % 3);
    c.pre = c.gelu && next_random() % 2;
    check_matmul(&c);
  }
  for (int i = 0; i < 32; i++) {
    Case c = {1, 1 + i * 7, random_size(700), 300 + i * 20, i & 1, i >> 1 & 1};
    c.gelu = i % 3 == 0;
    c.residual = i % 4 % 3;
    c.bias = i % 5 == 0;
    c.pre = c.gelu && i % 2;
    check_matmul(&c);
  }
  /* Wide and deep: several blocks of n, and more blocks of k than its depth asks for. */
  for (int i = 0; i < 4; i++) {
    Case c = {1, 40, 1500, 800, i & 1, i >> 1 & 1};
    check_matmul(&c);
  }
}

/* Threads take rows of each other in ways that differ from run to run; the bits do not. Thread 0
 * starts before the others are there, so that it helps with theirs. */
static void check_sharing(void) {
  const int shapes[][3] = {{400, 1500, 900}, {900, 64, 1600}, {300, 96, 1600}, {64, 3000, 500}};
  for (int i = 0; i < 16; i++) {
    const int *shape = shapes[i / 4];
    Arena arena = arena_new();
    struct matmul_args args = {.batch = 1, .m = shape[0], .n = shape[1], .k = shape[2],
                               .trans_a = i & 1, .trans_b = i >> 1 & 1, .bias = -1,
                               .residual = -1, .pre = -1};
    const size_t count = (size_t)args.m * args.n;
    args.a = arena_random(&arena, (size_t)args.m * args.k);
    args.b = arena_random(&arena, (size_t)args.k * args.n);
    args.y = arena_random(&arena, count);
    float *y = at(&arena, args.y), *alone = malloc(count * 4);
    run_threads(&arena, 1, (Kernel)SUFFIX(kernel_matmul), &args);
    memcpy(alone, y, count * 4);
    for (int run = 0; run < 12; run++) {
      memset(y, 0xff, count * 4);
      run_repeated(&arena, 2 + run % 3, (Kernel)SUFFIX(kernel_matmul), &args, 1 + run % 2);
      expect(memcmp(alone, y, count * 4) == 0, "matmul with shared rows, case", i);
    }
    free(alone);
    arena_free(&arena);
  }
}

static void check_matmul_nan(void) {
  Arena arena = arena_new();
  struct matmul_args args = {.batch = 1, .m = 9, .n = 33, .k = 5, .bias = -1, .residual = -1,
                             .pre = -1, .gelu = 1};
  args.a = arena_random(&arena, 9 * 5);
  args.b = arena_random(&arena, 5 * 33);
  args.y = arena_random(&arena, 9 * 33);
  at(&arena, args.a)[3 * 5 + 2] = NAN;
  at(&arena, args.a)[4 * 5 + 2] = INFINITY;
  run_threads(&arena, 2, (Kernel)SUFFIX(kernel_matmul), &args);
  const float *y = at(&arena, args.y), *b = at(&arena, args.b);
  for (int j = 0; j < 33; j++) {
    expect(isnan(y[3 * 33 + j]) && !isnan(y[2 * 33 + j]), "matmul keeps NaN in its row", j);
    expect(y[4 * 33 + j] == (b[2 * 33 + j] > 0 ? INFINITY : 0), "matmul gelu of infinity", j);
  }
  arena_free(&arena);
}

/* ---- attention ------------------------------------------------------------------------------- */

/* Whether tokens i and j of a window have come from different sides of a shifted image. */
static int masked(const struct attention_grad_args *args, int image, int i, int j) {
  if (args->shift == 0) return 0;
  int w = args->window, cut = w - args->shift, column = image % args->columns;
  int row = image / args->columns % args->rows;
  return (row == args->rows - 1 && (i / w >= cut) != (j / w >= cut)) ||
         (column == args->columns - 1 && (i % w >= cut) != (j % w >= cut));
}

/* y, lse, dqkv and dbias of one head by the definition; s, p are [n, n] work arrays. */
static void attention64(const struct attention_grad_args *args, const Arena *arena, int image,
                        int head, double *y, double *lse, double *dqkv, double *dbias, double *p,
                        double *dp) {
  int n = args->tokens, d = args->head_dim, width = args->heads * d, row = 3 * width;
  const float *q = at(arena, args->qkv) + (size_t)image * n * row + head * d;
  const float *k = q + width, *v = k + width;
  const float *dy = at(arena, args->dy) + (size_t)image * n * width + head * d;
  const float *bias = args->bias < 0 ? 0 : at(arena, args->bias) + (size_t)head * n * n;
  double *dq = dqkv + (size_t)image * n * row + head * d, *dk = dq + width, *dv = dk + width;
  y += (size_t)image * n * width + head * d;
  lse += ((size_t)image * args->heads + head) * n;
  for (int i = 0; i < n; i++) {
    double sum = 0, delta = 0;
    for (int j = 0; j < n; j++) {
      double s = 0, t = 0;
      for (int c = 0; c < d; c++) s += (double)q[i * row + c] * k[j * row + c];
      for (int c = 0; c < d; c++) t += (double)dy[i * width + c] * v[j * row + c];
      s = s * args->scale + (bias ? bias[i * n + j] : 0);
      p[i * n + j] = masked(args, image, i, j) ? 0 : exp(s);
      dp[i * n + j] = t;
      sum += p[i * n + j];
    }
    lse[i] = log(sum);
    for (int j = 0; j < n; j++) p[i * n + j] /= sum;
    for (int c = 0; c < d; c++) {
      y[i * width + c] = 0;
      for (int j = 0; j < n; j++) y[i * width + c] += p[i * n + j] * v[j * row + c];
      delta += y[i * width + c] * dy[i * width + c];
    }
    for (int j = 0; j < n; j++) {
      double ds = args->scale * p[i * n + j] * (dp[i * n + j] - delta);
      if (bias) dbias[((size_t)head * n + i) * n + j] += ds / args->scale;
      for (int c = 0; c < d; c++) {
        dq[i * row + c] += ds * k[j * row + c];
        dk[j * row + c] += ds * q[i * row + c];
        dv[j * row + c] += p[i * n + j] * dy[i * width + c];
      }
    }
  }
}

static double worst_error(const float *got, const double *expected, size_t count) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    double error = fabs(got[i] - expected[i]) / (1e-5 + 1e-5 * fabs(expected[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/* window > 0: a bias, its gradient from `chunks` parts, and a mask for windows of two images. */
static void check_attention(int batch, int n, int heads, int d, int tile, int window, int chunks) {
  Arena arena = arena_new();
  size_t count = (size_t)batch * n * heads * d, statistics = (size_t)batch * heads * n;
  size_t pairs = (size_t)heads * n * n;
  struct attention_grad_args grad = {.batch = batch, .tokens = n, .heads = heads, .head_dim = d,
                                     .tile = tile, .scale = 1.0f / sqrtf((float)d), .bias = -1,
                                     .dbias = -1, .workspace = -1, .chunks = chunks};
  if (window > 0) {
    grad.window = window, grad.shift = window / 2, grad.rows = 1, grad.columns = batch / 2;
    grad.bias = arena_random(&arena, pairs);
    grad.dbias = arena_random(&arena, pairs);
    grad.workspace = arena_random(&arena, chunks * pairs);
  }
  grad.qkv = arena_random(&arena, 3 * count);
  grad.dy = arena_random(&arena, count);
  int out = arena_random(&arena, count);
  grad.lse = arena_random(&arena, statistics);
  grad.dqkv = arena_random(&arena, 3 * count);
  int guard = arena_random(&arena, 16);
  for (size_t i = 0; i < 3 * count; i++) at(&arena, grad.qkv)[i] *= 3;
  struct attention_args forward = {.qkv = grad.qkv, .bias = grad.bias, .y = out,
                                   .lse = grad.lse, .batch = batch, .tokens = n, .heads = heads,
                                   .head_dim = d, .tile = tile, .window = grad.window,
                                   .rows = grad.rows, .columns = grad.columns,
                                   .shift = grad.shift, .scale = grad.scale};
  double *y = calloc(count, 8), *lse = calloc(statistics, 8), *dqkv = calloc(3 * count, 8);
  double *dbias = calloc(pairs, 8);
  double *p = malloc((size_t)n * n * 8), *dp = malloc((size_t)n * n * 8);
  for (int i = 0; i < batch * heads; i++) {
    attention64(&grad, &arena, i / heads, i % heads, y, lse, dqkv, dbias, p, dp);
  }
  char name[120], *start = malloc(arena.used), *first = malloc(arena.used);
  memcpy(start, arena.base, arena.used);
  snprintf(name, sizeof name, "attention batch %d n %d heads %d dim %d tile %d window %d chunks %d",
           batch, n, heads, d, tile, window, chunks);
  for (int threads = 1; threads <= 4; threads *= 2) {
    memcpy(arena.base, start, arena.used);
    scratch_limit = (size_t)attention_scratch(n, d, tile);
    run_threads(&arena, threads, (Kernel)SUFFIX(kernel_attention), &forward);
    scratch_limit = (size_t)attention_grad_scratch(n, d, tile);
    run_threads(&arena, threads, (Kernel)SUFFIX(kernel_attention_grad), &grad);
    scratch_limit = GEMM_SCRATCH_BYTES;
    double errors[4] = {worst_error(at(&arena, out), y, count),
                        worst_error(at(&arena, grad.lse), lse, statistics),
                        worst_error(at(&arena, grad.dqkv), dqkv, 3 * count),
                        window ? worst_error(at(&arena, grad.dbias), dbias, pairs) : 0};
    for (int i = 0; i < 4; i++) expect(errors[i] <= 1, name, errors[i]);
    expect(memcmp(at(&arena, guard), start + (size_t)guard * 64, 64) == 0, name, -1);
    if (threads == 1) memcpy(first, arena.base, arena.used);
    expect(memcmp(first, arena.base, arena.used) == 0, name, -threads);
  }
  free(first), free(start), free(y), free(lse), free(dqkv), free(dbias), free(p), free(dp);
  arena_free(&arena);
}

static void check_attentions(void) {
  check_attention(2, 197, 3, 64, 64, 0, 2);
  check_attention(2, 50, 12, 64, 50, 0, 2);
  check_attention(3, 65, 4, 32, 33, 0, 3);
  for (int i = 0; i < 40; i++) {
    int n = random_size(70), tile = random_size(n);
    int batch = random_size(2);
    check_attention(batch, n, random_size(3), random_size(40), tile, 0, batch);
  }
  check_attention(6, 49, 3, 32, 49, 7, 4);
  for (int i = 0; i < 20; i++) {
    int window = 1 + random_size(8), n = window * window, batch = 2 * random_size(4);
    check_attention(batch, n, random_size(3), random_size(40), random_size(n), window,
                    random_size(batch));
  }
}

int main(void) {
  check_math();
  check_matmuls();
  check_sharing();
  check_matmul_nan();
  check_attentions();
  printf(failures ? "%d FAILURES\n" : "all checks pass (%d failures)\n", failures);
  return failures > 0;
}
