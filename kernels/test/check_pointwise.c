/* check_pointwise.c - the elementwise, norm, reduction, optimiser, loss and token kernels against
 * plain loops in double precision, on sizes that are not multiples of a vector; every result must
 * have the same bits for 1, 2 and 4 threads.
 * make -C kernels/test check runs it.
 */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels.h"
#include "guards.h"

#define ARENA (1 << 24)
static char arena[ARENA] __attribute__((aligned(64)));
static char before[ARENA], after[ARENA];
static int used, failures;
static Guards guards;

/* An operand of `count` elements, noise in about (-2, 2): its offset in units of 64 bytes. */
static int tensor(int count) {
  const int offset = used;
  float *x = (float *)(arena + offset * 64);
  for (int i = 0; i < count; i++) x[i] = (float)(rand() % 20011) / 5003 - 2;
  used += (count * 4 + 63) / 64 + 1; /* one guard line */
  memset(arena + (used - 1) * 64, 0x7f, 64);
  if (used * 64 > ARENA) abort();
  guards_add(&guards, (size_t)offset * 64 + (size_t)count * 4, (size_t)used * 64);
  return offset;
}
static float *at(int offset) { return (float *)(arena + offset * 64); }
/* The operand's value before the kernel ran. */
static const float *was(int offset) { return (const float *)(before + offset * 64); }

typedef void (*Kernel)(const Context *, const void *);
typedef struct {
  Kernel kernel;
  const void *args;
  Context context;
} Job;
static void *work(void *job) {
  ((Job *)job)->kernel(&((Job *)job)->context, ((Job *)job)->args);
  return 0;
}
static void run_with(Kernel kernel, const void *args, int threads) {
  pthread_t handles[4];
  Job jobs[4];
  memcpy(arena, before, ARENA);
  Barrier barrier = {0};
  guards_set(&guards, arena);
  for (int t = 0; t < threads; t++) {
    const Context context = {
        .arena = arena, .thread = t, .threads = threads, .barrier = &barrier};
    jobs[t] = (Job){kernel, args, context};
    pthread_create(&handles[t], 0, work, &jobs[t]);
  }
  for (int t = 0; t < threads; t++) pthread_join(handles[t], 0);
  guards_lift(&guards, arena);
}
static void run_kernel(const char *name, Kernel kernel, const void *args) {
  memcpy(before, arena, ARENA);
  run_with(kernel, args, 1);
  memcpy(after, arena, ARENA);
  for (int threads = 2; threads <= 4; threads += 2) {
    run_with(kernel, args, threads);
    if (memcmp(arena, after, ARENA) == 0) continue;
    printf("FAIL %s: bits differ with %d threads\n", name, threads);
    failures++;
  }
}
#define RUN(name, ...)                                              \
  do {                                                              \
    const struct name##_args args_ = {__VA_ARGS__};                 \
    run_kernel(#name, (Kernel)SUFFIX(kernel_##name), &args_);       \
  } while (0)

static void expect(const char *what, int i, double got, double want) {
  if (fabs(got - want) <= 1e-6 + 1e-5 * fabs(want)) return;
  if (failures++ < 20) printf("FAIL %s[%d]: expected %.9g, got %.9g\n", what, i, want, got);
}

static double normal(double x) { return 0.5 * (1 + erf(x / sqrt(2))); }
static double density(double x) { return exp(-x * x / 2) / sqrt(2 * acos(-1)); }

static void check_pointwise(int count) {
  const int a = tensor(count), b = tensor(count), y = tensor(count);
  RUN(add, a, b, y, count, count);
  for (int i = 0; i < count; i++) expect("add", i, at(y)[i], (double)was(a)[i] + was(b)[i]);
  const int period = count / 3;
  RUN(add, a, b, a, period * 3, period);
  for (int i = 0; i < period * 3; i++) {
    expect("add.period", i, at(a)[i], (double)was(a)[i] + was(b)[i % period]);
  }
  RUN(accumulate, y, a, y, count);
  for (int i = 0; i < count; i++) expect("accumulate", i, at(y)[i], (double)was(y)[i] + was(a)[i]);
  for (int power = 1; power <= 2; power++) {
    RUN(accumulate_power, y, a, y, count, power);
    for (int i = 0; i < count; i++) {
      expect("accumulate_power", i, at(y)[i], (double)was(y)[i] + pow(fabs(was(a)[i]), power));
    }
  }
  RUN(fill, a, y, count, 1.5f);
  for (int i = 0; i < count; i++) expect("fill", i, at(y)[i], 1.5);
  RUN(gelu, a, y, count);
  for (int i = 0; i < count; i++) expect("gelu", i, at(y)[i], was(a)[i] * normal(was(a)[i]));
  RUN(gelu_grad, a, b, b, -1, count);
  for (int i = 0; i < count; i++) {
    const double x = was(a)[i];
    expect("gelu_grad", i, at(b)[i], was(b)[i] * (normal(x) + x * density(x)));
  }
}

static void check_layernorm(int rows, int cols) {
  const int x = tensor(rows * cols), gamma = tensor(cols), beta = tensor(cols);
  const int y = tensor(rows * cols), mean = tensor(rows), rstd = tensor(rows);
  const int dy = tensor(rows * cols), dx = tensor(rows * cols), dgamma = tensor(cols);
  const int dbeta = tensor(cols), workspace = tensor(2 * 16 * cols);
  double *sum_gamma = calloc((size_t)cols, 8), *sum_beta = calloc((size_t)cols, 8);
  RUN(layernorm, x, gamma, beta, y, mean, rstd, rows, cols, 1e-6f);
  RUN(layernorm_grad_params, x, mean, rstd, dy, dgamma, dbeta, workspace, rows, cols);
  RUN(layernorm_grad_input, x, gamma, mean, rstd, dy, dx, dx, rows, cols);
  for (int r = 0; r < rows; r++) {
    double m = 0, v = 0, g_mean = 0, product = 0;
    const float *row = at(x) + r * cols, *slope = at(dy) + r * cols;
    for (int i = 0; i < cols; i++) m += row[i] / (double)cols;
    for (int i = 0; i < cols; i++) v += (row[i] - m) * (row[i] - m) / cols;
    const double scale = 1 / sqrt(v + 1e-6);
    expect("mean", r, at(mean)[r], m);
    expect("rstd", r, at(rstd)[r], scale);
    for (int i = 0; i < cols; i++) {
      const double xhat = (row[i] - m) * scale, g = slope[i] * (double)at(gamma)[i];
      expect("layernorm", i, at(y)[r * cols + i], xhat * at(gamma)[i] + at(beta)[i]);
      g_mean += g / cols;
      product += g * xhat / cols;
      sum_gamma[i] += slope[i] * xhat;
      sum_beta[i] += slope[i];
    }
    for (int i = 0; i < cols; i++) {
      const double xhat = (row[i] - m) * scale, g = slope[i] * (double)at(gamma)[i];
      const double residual = was(dx)[r * cols + i];
      expect("layernorm_grad_input", i, at(dx)[r * cols + i],
             scale * (g - g_mean - xhat * product) + residual);
    }
  }
  /* Sums of `rows` terms of size 4 that may cancel: the bound grows with their number. */
  for (int i = 0; i < cols; i++) {
    if (!(fabs(at(dgamma)[i] - sum_gamma[i]) <= 1e-6 * rows)) expect("dgamma", i, NAN, 0);
    if (!(fabs(at(dbeta)[i] - sum_beta[i]) <= 1e-6 * rows)) expect("dbeta", i, NAN, 0);
  }
  free(sum_gamma);
  free(sum_beta);
}

static void check_reduce(int rows, int cols) {
  const int x = tensor(rows * cols), y = tensor(cols), workspace = tensor(16 * cols);
  RUN(sum_rows, x, y, workspace, rows, cols);
  double squares = 0;
  for (int i = 0; i < cols; i++) {
    double sum = 0;
    for (int r = 0; r < rows; r++) {
      sum += at(x)[r * cols + i];
      squares += pow(at(x)[r * cols + i], 2);
    }
    if (!(fabs(at(y)[i] - sum) <= 1e-6 * rows)) expect("sum_rows", i, at(y)[i], sum);
  }
  const int total = tensor(1), scale = tensor(1), pieces = tensor(2 * 64);
  RUN(sum_squares, x, -1, total, pieces, rows * cols);
  expect("sum_squares", 0, at(total)[0], squares);
  RUN(sum_squares, x, total, total, pieces, rows * cols);
  expect("sum_squares.total", 0, at(total)[0], 2 * squares);
  RUN(clip_scale, total, scale, 0.5f);
  expect("clip_scale", 0, at(scale)[0], 0.5 / (sqrt(at(total)[0]) + 1e-6));
  at(total)[0] = 0.01f;
  RUN(clip_scale, total, scale, 0.5f);
  expect("clip_scale.small", 0, at(scale)[0], 1);
  at(total)[0] = NAN;
  RUN(clip_scale, total, scale, 0.5f);
  if (!isnan(at(scale)[0])) expect("clip_scale.nan", 0, at(scale)[0], 0);
}

static void check_sgd(int count, int nesterov, int with_scale) {
  const int param = tensor(count), grad = tensor(count), lr = tensor(1), velocity = tensor(count);
  const int scale = tensor(1);
  RUN(sgd, param, grad, lr, velocity, with_scale ? scale : -1, param, velocity, count, 0.9f,
      nesterov, 0.01f);
  for (int i = 0; i < count; i++) {
    const double factor = with_scale ? was(scale)[0] : 1;
    const double g = was(grad)[i] * factor + 0.01 * was(param)[i];
    const double v = 0.9 * was(velocity)[i] + g, step = nesterov ? g + 0.9 * v : v;
    expect("velocity", i, at(velocity)[i], v);
    expect("sgd", i, at(param)[i], was(param)[i] - was(lr)[0] * step);
  }
  RUN(sgd, param, grad, lr, -1, -1, param, -1, count, 0.9f, nesterov, 0.0f);
  for (int i = 0; i < count; i++) {
    expect("sgd.plain", i, at(param)[i], was(param)[i] - (double)was(lr)[0] * was(grad)[i]);
  }
}

static void check_adamw(int count) {
  const int param = tensor(count), grad = tensor(count), m = tensor(count), v = tensor(count);
  const int lr = tensor(1), correction = tensor(2);
  const double beta1 = 0.9f, beta2 = 0.99f, decay = 0.05f, eps = 1e-8f;
  for (int i = 0; i < count; i++) at(v)[i] = fabsf(at(v)[i]);
  at(correction)[0] = (float)(1 / (1 - pow(beta1, 3)));
  at(correction)[1] = (float)(1 / sqrt(1 - pow(beta2, 3)));
  RUN(adamw, param, grad, m, v, lr, correction, -1, param, m, v, count, 0.9f, 0.99f, 0.1f, 0.01f,
      1e-8f, 0.05f);
  for (int i = 0; i < count; i++) {
    const double g = was(grad)[i], rate = was(lr)[0];
    const double first = beta1 * was(m)[i] + (1 - beta1) * g;
    const double second = beta2 * was(v)[i] + (1 - beta2) * g * g;
    const double update = first / (sqrt(second) * was(correction)[1] + eps);
    expect("adamw.m", i, at(m)[i], first);
    expect("adamw.v", i, at(v)[i], second);
    expect("adamw", i, at(param)[i],
           was(param)[i] * (1 - rate * decay) - rate * was(correction)[0] * update);
  }
}

static void check_adam_step(int count) {
  const int grad = tensor(count), m = tensor(count), v = tensor(count), step = tensor(count);
  const int correction = tensor(2), scale = tensor(1);
  const double beta1 = 0.9f, beta2 = 0.99f, eps = 1e-8f;
  for (int i = 0; i < count; i++) at(v)[i] = fabsf(at(v)[i]);
  at(correction)[0] = (float)(1 / (1 - pow(beta1, 3)));
  at(correction)[1] = (float)(1 / sqrt(1 - pow(beta2, 3)));
  RUN(adam_step, grad, m, v, correction, scale, m, v, step, count, 0.9f, 0.99f, 0.1f, 0.01f,
      1e-8f);
  for (int i = 0; i < count; i++) {
    const double g = was(grad)[i] * (double)was(scale)[0];
    const double first = beta1 * was(m)[i] + (1 - beta1) * g;
    const double second = beta2 * was(v)[i] + (1 - beta2) * g * g;
    expect("adam_step.m", i, at(m)[i], first);
    expect("adam_step.v", i, at(v)[i], second);
    expect("adam_step", i, at(step)[i],
           was(correction)[0] * first / (sqrt(second) * was(correction)[1] + eps));
  }
}

static void check_loss(int rows, int cols, float smoothing) {
  const int logits = tensor(rows * cols), labels = tensor(rows), loss = tensor(1);
  const int dloss = tensor(1), dlogits = tensor(rows * cols);
  i32 *label = (i32 *)at(labels);
  for (int r = 0; r < rows; r++) label[r] = rand() % cols;
  RUN(softmax_cross_entropy, logits, labels, loss, rows, cols, smoothing);
  RUN(softmax_cross_entropy_grad, logits, labels, dloss, dlogits, rows, cols, smoothing);
  double mean = 0;
  for (int r = 0; r < rows; r++) {
    const float *x = at(logits) + r * cols;
    double sum = 0;
    for (int i = 0; i < cols; i++) sum += exp(x[i]);
    for (int i = 0; i < cols; i++) {
      const double target = (1 - smoothing) * (i == label[r]) + smoothing / (double)cols;
      mean += target * (log(sum) - x[i]) / rows;
      expect("softmax_cross_entropy_grad", i, at(dlogits)[r * cols + i],
             (exp(x[i]) / sum - target) * at(dloss)[0] / rows);
    }
  }
  expect("softmax_cross_entropy", rows, at(loss)[0], mean);
  label[rows - 1] = cols;
  RUN(softmax_cross_entropy, logits, labels, loss, rows, cols, smoothing);
  if (!isnan(at(loss)[0])) expect("loss.label", 0, at(loss)[0], 0);
  label[rows - 1] = 0;
  at(logits)[cols - 1] = NAN;
  RUN(softmax_cross_entropy, logits, labels, loss, rows, cols, smoothing);
  if (!isnan(at(loss)[0])) expect("loss.nan", 0, at(loss)[0], 0);
}

static void check_patchify(int batch, int channels, int height, int width, int p) {
  const int count = batch * channels * height * width, x = tensor(count), y = tensor(count);
  const int z = tensor(count), down = height / p, across = width / p;
  RUN(patchify, x, y, batch, channels, height, width, p, 0);
  for (int i = 0; i < count; i++) {
    const int column = i % width, row = i / width % height, c = i / width / height % channels;
    const int image = i / width / height / channels, token = row / p * across + column / p;
    const int entry = (c * p + row % p) * p + column % p;
    expect("patchify", i, at(y)[(image * down * across + token) * channels * p * p + entry],
           at(x)[i]);
  }
  RUN(patchify, y, z, batch, channels, height, width, p, 1);
  for (int i = 0; i < count; i++) expect("patchify.inverse", i, at(z)[i], at(x)[i]);
}

static void check_tokens(int batch, int na, int nb, int dim, int shared) {
  const int n = na + nb, a = tensor(batch * na * dim), b = tensor(batch * nb * dim);
  const int y = tensor(batch * n * dim), part = tensor(batch * nb * dim);
  const int mean = tensor(batch * dim);
  RUN(concat_tokens, a, b, y, batch, na, nb, dim, shared);
  RUN(slice_tokens, y, part, batch, n, na, nb, dim);
  for (int i = 0; i < batch * nb * dim; i++) expect("slice_tokens", i, at(part)[i], at(b)[i]);
  const int row = n * dim, first = (batch - 1) * row, rest = tensor(row);
  RUN(slice_batch, y, rest, 4 * first, 4 * row);
  for (int i = 0; i < row; i++) expect("slice_batch", i, at(rest)[i], at(y)[first + i]);
  for (int i = 0; i < batch * n * dim; i++) {
    const int image = i / dim / n, token = i / dim % n, d = i % dim;
    const int from_a = ((shared ? 0 : image * na) + token) * dim + d;
    const double want = token < na ? at(a)[from_a] : at(b)[(image * nb + token - na) * dim + d];
    expect("concat_tokens", i, at(y)[i], want);
  }
  RUN(mean_tokens, y, mean, batch, n, dim);
  for (int i = 0; i < batch * dim; i++) {
    double sum = 0;
    for (int t = 0; t < n; t++) sum += at(y)[(i / dim * n + t) * dim + i % dim];
    expect("mean_tokens", i, at(mean)[i], sum / n);
  }
  RUN(pad_tokens, part, y, batch, n, na, nb, dim);
  for (int i = 0; i < batch * n * dim; i++) {
    const int image = i / dim / n, token = i / dim % n - na;
    const double want = token < 0 ? 0 : at(part)[(image * nb + token) * dim + i % dim];
    expect("pad_tokens", i, at(y)[i], want);
  }
  RUN(broadcast_tokens, mean, y, batch, n, dim, 0.25f);
  for (int i = 0; i < batch * n * dim; i++) {
    expect("broadcast_tokens", i, at(y)[i], 0.25 * at(mean)[i / dim / n * dim + i % dim]);
  }
}

/* There and back: at most half a step away; a NaN leaves no finite element in its row. */
static void check_quantise(int rows, int cols) {
  const int x = tensor(rows * cols), q = tensor((rows * cols + 3) / 4), scale = tensor(rows);
  const int y = tensor(rows * cols);
  at(x)[0] = NAN;
  RUN(quantise, x, q, scale, rows, cols);
  RUN(dequantise, q, scale, y, rows, cols);
  for (int i = 0; i < cols; i++) {
    if (isfinite(at(y)[i])) expect("quantise.nan", i, at(y)[i], NAN);
  }
  for (int i = cols; i < rows * cols; i++) {
    const double most = 127.0 * at(scale)[i / cols], step = at(scale)[i / cols];
    const double error = fabs((double)at(y)[i] - at(x)[i]);
    if (error > 0.50001 * step || fabs(at(x)[i]) > 1.000001 * most) {
      expect("quantise", i, at(y)[i], at(x)[i]);
    }
  }
}

static void check_product_change(int outputs, int inputs, int rank) {
  const int param = tensor(outputs * inputs), u = tensor(rank * outputs), v = tensor(rank * inputs);
  const int u_next = tensor(rank * outputs), v_next = tensor(rank * inputs), lr = tensor(1);
  RUN(product_change, param, u, v, u_next, v_next, lr, param, outputs, inputs, rank, 0.1f);
  for (int i = 0; i < outputs * inputs; i++) {
    const int row = i / inputs, column = i % inputs;
    double want = (1 - 0.1 * at(lr)[0]) * was(param)[i];
    for (int k = 0; k < rank; k++) {
      want += (double)at(u_next)[k * outputs + row] * at(v_next)[k * inputs + column];
      want -= (double)at(u)[k * outputs + row] * at(v)[k * inputs + column];
    }
    /* sums of 2 rank terms of up to 16 */
    expect("product_change", i, 1e-1 * at(param)[i], 1e-1 * want);
  }
}

static void check_bias_correction(void) {
  const int known = tensor(2), correction = tensor(2);
  double average[2] = {0, 0};
  at(known)[0] = at(known)[1] = 0;
  for (int step = 1; step <= 5; step++) {
    RUN(bias_correction, known, correction, known, correction, 0.9f, 0.999f, 0.1f, 0.001f);
    average[0] = 0.9 * average[0] + 0.1, average[1] = 0.999 * average[1] + 0.001;
    expect("bias_correction", step, at(correction)[0], 1 / average[0]);
    expect("bias_correction", step, at(correction)[1], 1 / sqrt(average[1]));
  }
}

/* Random123's known answer for zeros, and every number within the bound. */
static void check_random_uniform(int count) {
  const int y = tensor(count), seed = tensor(1), run = tensor(1);
  const unsigned words[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  at(seed)[0] = at(run)[0] = 0;
  RUN(random_uniform, y, seed, run, y, count, 0, 1.0f / (1 << 24));
  for (int i = 0; i < 4 && i < count; i++) {
    expect("random_uniform", i, at(y)[i], (2.0 * (words[i] >> 8) + 1) / (1 << 24) - 1);
  }
  for (int i = 0; i < count; i++) {
    if (!(fabs(at(y)[i]) < 1)) expect("random_uniform.bound", i, at(y)[i], 0);
  }
}

int main(void) {
  const int counts[] = {3, 16, 1000, 4099};
  for (int i = 0; i < 4; i++) {
    check_pointwise(counts[i]);
    check_sgd(counts[i], i % 2, i / 2);
    check_adamw(counts[i]);
    check_adam_step(counts[i]);
  }
  check_product_change(3, 5, 2);
  check_product_change(37, 203, 3);
  check_product_change(64, 64, 8);
  check_bias_correction();
  check_random_uniform(3);
  check_random_uniform(4099);
  check_layernorm(5, 7);
  check_layernorm(77, 192);
  check_layernorm(40, 203);
  check_quantise(5, 7);
  check_quantise(37, 203);
  check_reduce(3, 5);
  check_reduce(100, 333);
  check_loss(5, 3, 0);
  check_loss(9, 101, 0.1f);
  check_patchify(2, 3, 8, 12, 4);
  check_patchify(1, 2, 34, 51, 17);
  check_tokens(3, 1, 9, 20, 1);
  check_tokens(2, 2, 5, 48, 0);
  printf(failures ? "%d failures\n" : "all kernels agree\n", failures);
  return failures != 0;
}
