/* bench.c - GFLOP/s of the matrix kernels beside this core's own peak; check.c has checked them.
 *   make -C kernels/test bench
 * The peak is a loop of independent multiply-adds, measured in turn with the kernel. Times are CPU
 * times per thread, without waiting at the barrier, so a busy machine disturbs them less; for two
 * threads the slower one counts. Best of ROUNDS.
 */
#include <math.h>
#include <time.h>

#include "harness.h"

#define ROUNDS 7
#define CHAINS (LANES == 4 ? 12 : 24)

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static volatile float sink;
static double peak_gflops(void) {
  vf sum[CHAINS];
  const vf x = vf_splat(0.999999f), y = vf_splat(1e-6f);
  const int steps = 200000;
  for (int i = 0; i < CHAINS; i++) sum[i] = vf_splat((float)i);
  double start = cpu_seconds();
  for (int step = 0; step < steps; step++) {
    UNROLL_LOOP for (int i = 0; i < CHAINS; i++) sum[i] = vf_fma(sum[i], x, y);
  }
  double seconds = cpu_seconds() - start;
  for (int i = 0; i < CHAINS; i++) sink = sum[i][0];
  return 2e-9 * steps * CHAINS * LANES / seconds;
}

typedef struct {
  Context ctx;
  Kernel kernel;
  const void *args;
  int repeats;
  double seconds;
} Timed;
static void *run_timed(void *job) {
  Timed *timed = job;
  double start = cpu_seconds();
  for (int i = 0; i < timed->repeats; i++) timed->kernel(&timed->ctx, timed->args);
  timed->seconds = cpu_seconds() - start;
  return 0;
}

static double slowest_thread(Arena *arena, int threads, Kernel kernel, const void *args,
                             int repeats) {
  Timed jobs[2];
  pthread_t ids[2];
  double slowest = 0;
  for (int t = 0; t < threads; t++) {
    if (!scratch_of[t]) scratch_of[t] = aligned_alloc(64, SCRATCH_BYTES);
    Context ctx = {.arena = arena->base, .scratch = scratch_of[t], .scratchBytes = SCRATCH_BYTES,
                   .thread = t, .threads = threads};
    jobs[t] = (Timed){ctx, kernel, args, repeats, 0};
    pthread_create(&ids[t], 0, run_timed, &jobs[t]);
  }
  for (int t = 0; t < threads; t++) {
    pthread_join(ids[t], 0);
    if (jobs[t].seconds > slowest) slowest = jobs[t].seconds;
  }
  return slowest / repeats;
}

static void bench(const char *name, Arena *arena, Kernel kernel, const void *args, double flops) {
  double peak = 0, one = 1e9, two = 1e9;
  int repeats = (int)(2e8 / flops) + 1;
  for (int round = 0; round < ROUNDS; round++) {
    peak = fmax(peak, peak_gflops());
    one = fmin(one, slowest_thread(arena, 1, kernel, args, repeats));
    two = fmin(two, slowest_thread(arena, 2, kernel, args, repeats));
  }
  double rate = 1e-9 * flops / one;
  printf("%-34s %8.3f ms %6.1f GFLOP/s %3.0f%% of %.0f, two threads x%.2f\n", name, one * 1e3, rate,
         100 * rate / peak, peak, one / two);
}

static void bench_matmul(int m, int n, int k, int trans_a, int trans_b, int epilogue) {
  Arena arena = arena_new();
  char name[80];
  struct matmul_args args = {.batch = 1, .m = m, .n = n, .k = k, .trans_a = trans_a,
                             .trans_b = trans_b, .bias = -1, .residual = -1, .pre = -1};
  args.a = arena_random(&arena, (size_t)m * k);
  args.b = arena_random(&arena, (size_t)n * k);
  args.y = arena_random(&arena, (size_t)m * n);
  if (epilogue) args.bias = arena_random(&arena, n);
  if (epilogue == 2) args.gelu = 1, args.pre = arena_random(&arena, (size_t)m * n);
  const char *with[3] = {"", " bias", " bias gelu"};
  snprintf(name, sizeof name, "%c%c %dx%dx%d%s", trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n, k,
           with[epilogue]);
  bench(name, &arena, (Kernel)SUFFIX(kernel_matmul), &args, 2.0 * m * n * k);
  arena_free(&arena);
}

static void bench_attention(int batch, int tokens, int heads, int head_dim, int tile) {
  Arena arena = arena_new();
  size_t count = (size_t)batch * tokens * heads * head_dim;
  int qkv = arena_random(&arena, 3 * count), y = arena_random(&arena, count);
  int lse = arena_random(&arena, (size_t)batch * heads * tokens), dy = arena_random(&arena, count);
  int dqkv = arena_random(&arena, 3 * count);
  float scale = 1.0f / sqrtf((float)head_dim);
  struct attention_args forward = {.qkv = qkv, .bias = -1, .y = y, .lse = lse, .batch = batch,
                                   .tokens = tokens, .heads = heads, .head_dim = head_dim,
                                   .tile = tile, .scale = scale};
  struct attention_grad_args grad = {.qkv = qkv, .lse = lse, .dy = dy, .bias = -1,
                                     .dqkv = dqkv, .dbias = -1, .batch = batch, .tokens = tokens,
                                     .heads = heads, .head_dim = head_dim, .tile = tile,
                                     .scale = scale, .chunks = batch};
  double flops = 4.0 * tokens * (double)count;
  char name[80];
  snprintf(name, sizeof name, "attention %dx%dx%dx%d/%d", batch, tokens, heads, head_dim, tile);
  bench(name, &arena, (Kernel)SUFFIX(kernel_attention), &forward, flops);
  snprintf(name, sizeof name, "attention_grad %dx%dx%dx%d/%d", batch, tokens, heads, head_dim,
           tile);
  bench(name, &arena, (Kernel)SUFFIX(kernel_attention_grad), &grad, 2.5 * flops);
  arena_free(&arena);
}

/* x [outer, extent, inner] by u [rows, extent]. */
static void bench_mode_product(int outer, int extent, int inner, int rows) {
  Arena arena = arena_new();
  char name[80];
  struct mode_product_args args = {.outer = outer, .extent = extent, .inner = inner, .rows = rows};
  args.x = arena_random(&arena, (size_t)outer * extent * inner);
  args.u = arena_random(&arena, (size_t)rows * extent);
  args.y = arena_random(&arena, (size_t)outer * rows * inner);
  snprintf(name, sizeof name, "mode_product %dx%dx%d/%d", outer, extent, inner, rows);
  bench(name, &arena, (Kernel)SUFFIX(kernel_mode_product), &args,
        2.0 * outer * extent * inner * rows);
  arena_free(&arena);
}

int main(void) {
  bench_matmul(1024, 1024, 1024, 0, 0, 0);
  bench_matmul(1576, 192, 192, 0, 1, 1);
  bench_matmul(1576, 576, 192, 0, 1, 1);
  bench_matmul(1576, 768, 192, 0, 1, 2);
  bench_matmul(1576, 192, 768, 0, 0, 0);
  bench_matmul(1576, 768, 192, 0, 0, 0);
  bench_matmul(768, 192, 1576, 1, 0, 0);
  bench_matmul(192, 192, 1576, 1, 0, 0);
  bench_matmul(1040, 128, 128, 0, 1, 1);
  bench_matmul(197, 192, 192, 0, 1, 1);
  bench_matmul(8, 1000, 192, 0, 1, 1);
  bench_matmul(1, 1000, 192, 0, 1, 1);
  bench_matmul(8, 10, 192, 0, 1, 1);
  bench_attention(8, 197, 3, 64, 197);
  bench_attention(8, 197, 3, 64, 64);
  bench_attention(8, 50, 12, 64, 50);
  bench_attention(16, 65, 4, 32, 65);
  bench_mode_product(16, 197, 768, 32);
  bench_mode_product(3152, 768, 1, 32);
  bench_mode_product(1, 16, 197 * 768, 8);
  return 0;
}
