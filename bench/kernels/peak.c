/* peak.c - what this machine can do at best, with the vector type and the multiply-add of the
 * kernels themselves (kernels/simd.h): so the peak of a variant is that of its instruction set.
 * Compiled once per variant for peak-main.c, and to WebAssembly for peak-worker.ts.
 */
#include "peak.h"
#include "simd.h"

/* Enough independent chains to hide the latency, few enough for the registers: 16 of them on x64
 * below AVX-512 and in V8, else 32. */
#if LANES == 16 || defined(__aarch64__)
#define CHAINS 24
#else
#define CHAINS 12
#endif

/* Keeps the compiler from turning the copy into a call or leaving out a repeat. */
#define FORGET_MEMORY __asm__ volatile("" ::: "memory")

int peak_flops_per_step(void) { return 2 * CHAINS * LANES; }

float peak_fma(int steps) {
  vf sum[CHAINS], total = vf_zero();
  const vf x = vf_splat(0.999999f), y = vf_splat(1e-6f);
  UNROLL_LOOP for (int i = 0; i < CHAINS; i++) sum[i] = vf_splat((float)i);
  for (int step = 0; step < steps; step++) {
    UNROLL_LOOP for (int i = 0; i < CHAINS; i++) sum[i] = vf_fma(sum[i], x, y);
  }
  UNROLL_LOOP for (int i = 0; i < CHAINS; i++) total += sum[i];
  return vf_sum(total);
}

void peak_copy(float *to, const float *from, int count, int repeats) {
  for (int repeat = 0; repeat < repeats; repeat++) {
    for (int i = 0; i + 4 * LANES <= count; i += 4 * LANES) {
      UNROLL_LOOP for (int j = 0; j < 4; j++) {
        vf_store(to + i + j * LANES, vf_load(from + i + j * LANES));
      }
    }
    FORGET_MEMORY;
  }
}
