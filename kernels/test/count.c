/* count.c - one matrix product, or one register tile of a chosen shape, as often as it is told: for
 * counting instructions under an emulator (bench/arm64 does). What N + 1 repeats execute more than N
 * is one product and nothing else; usage() has the arguments. For 64-bit Arm only.
 * Operands are zeros: the kernels have no branch that looks at them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../gemm.h"
#include "../gemm_tile_neon.h"
#include "../kernels.h"

/* c[rows, vectors * LANES] = a * b by lanes, as gemm.c does it with its own shape. */
#define LANES_TILE(rows, vectors)                                                                \
  __attribute__((noinline)) void lanes_##rows##x##vectors(i64 k, const float *a, const float *b, \
                                                          float *c) {                            \
    vf sum[rows * vectors];                                                                      \
    UNROLL_LOOP for (i32 i = 0; i < rows * vectors; i++) sum[i] = vf_zero();                     \
    tile_lanes(rows, vectors, k, a, rows, b, vectors * LANES, sum, vectors);                     \
    UNROLL_LOOP for (i32 i = 0; i < rows * vectors; i++) vf_store(c + i * LANES, sum[i]);        \
  }
/* The same with one load for each element of a. */
#define ELEMENTS_TILE(rows, vectors)                                                           \
  __attribute__((noinline)) void elements_##rows##x##vectors(i64 k, const float *a,            \
                                                             const float *b, float *c) {       \
    vf sum[rows * vectors];                                                                    \
    UNROLL_LOOP for (i32 i = 0; i < rows * vectors; i++) sum[i] = vf_zero();                   \
    for (i64 p = 0; p < k; p++) {                                                              \
      UNROLL_LOOP for (i32 i = 0; i < rows * vectors; i++) {                                   \
        sum[i] = vf_fma(vf_splat(a[i / vectors]), vf_load(b + i % vectors * LANES), sum[i]);   \
      }                                                                                        \
      a += rows;                                                                               \
      b += vectors * LANES;                                                                    \
    }                                                                                          \
    UNROLL_LOOP for (i32 i = 0; i < rows * vectors; i++) vf_store(c + i * LANES, sum[i]);      \
  }

ELEMENTS_TILE(8, 2)
LANES_TILE(4, 2) LANES_TILE(4, 4) LANES_TILE(8, 2) LANES_TILE(6, 4) LANES_TILE(8, 3)
LANES_TILE(12, 2)

typedef void TileFunction(i64 k, const float *a, const float *b, float *c);
static const struct {
  const char *name;
  TileFunction *function;
} tiles[] = {
    {"elements_8x2", elements_8x2}, {"lanes_4x2", lanes_4x2}, {"lanes_4x4", lanes_4x4},
    {"lanes_8x2", lanes_8x2},       {"lanes_6x4", lanes_6x4}, {"lanes_8x3", lanes_8x3},
    {"lanes_12x2", lanes_12x2},
};

static int usage(void) {
  puts("count REPEATS gemm NN|NT|TN M N K PLAIN|BIAS|GELU\ncount REPEATS tile NAME K");
  return 2;
}

static float *zeros(size_t count) {
  float *data = aligned_alloc(64, (count * 4 + 127) / 64 * 64);
  if (!data) exit(1);
  return memset(data, 0, count * 4);
}

static int run_tile(int repeats, const char *name, i64 k) {
  float *a = zeros(64 * k), *b = zeros(64 * k), *c = zeros(1024);
  for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
    if (strcmp(name, tiles[i].name)) continue;
    for (int repeat = 0; repeat < repeats; repeat++) tiles[i].function(k, a, b, c);
    return 0;
  }
  return usage();
}

/* Operands lie in one arena, [a, b, y, pre, bias], at multiples of 64 bytes. */
static int run_gemm(int repeats, const char *form, int m, int n, int k, const char *epilogue) {
  size_t sizes[5] = {(size_t)m * k, (size_t)k * n, (size_t)m * n, (size_t)m * n, n}, total = 0;
  int offset[5];
  for (int i = 0; i < 5; i++) {
    offset[i] = (int)(total / 16);
    total += (sizes[i] + 15) / 16 * 16;
  }
  Context ctx = {.arena = (char *)zeros(total), .scratch = (char *)zeros(GEMM_SCRATCH_BYTES / 4),
                 .scratchBytes = GEMM_SCRATCH_BYTES, .thread = 0, .threads = 1};
  struct matmul_args args = {.a = offset[0], .b = offset[1], .y = offset[2], .pre = -1, .bias = -1,
                             .residual = -1, .batch = 1, .m = m, .n = n, .k = k,
                             .trans_a = form[0] == 'T', .trans_b = form[1] == 'T'};
  if (strcmp(epilogue, "PLAIN")) args.bias = offset[4];
  if (!strcmp(epilogue, "GELU")) args.gelu = 1, args.pre = offset[3];
  for (int repeat = 0; repeat < repeats; repeat++) SUFFIX(kernel_matmul)(&ctx, &args);
  return 0;
}

int main(int count, char **words) {
  if (count == 5 && !strcmp(words[2], "tile")) {
    return run_tile(atoi(words[1]), words[3], atoi(words[4]));
  }
  if (count == 8 && !strcmp(words[2], "gemm")) {
    return run_gemm(atoi(words[1]), words[3], atoi(words[4]), atoi(words[5]), atoi(words[6]),
                    words[7]);
  }
  return usage();
}
