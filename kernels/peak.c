/* peak.c - what this machine can do at best, with the vector type and the multiply-add of the
 * kernels themselves (simd.h): so the peak of a variant is that of its instruction set. Beside the
 * kernels' own rates it tells how much is left to gain.
 *
 * A peak of 128 bits without a fused instruction (SSE2, WebAssembly without relaxed SIMD) counts
 * multiply and add as two operations as well: they are two instructions there.
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

static void multiply_add(float *to, i32 repeats) {
  vf sum[CHAINS], total = vf_zero();
  const vf x = vf_splat(0.999999f), y = vf_splat(1e-6f);
  UNROLL_LOOP for (i32 i = 0; i < CHAINS; i++) sum[i] = vf_splat((float)i);
  for (i32 repeat = 0; repeat < repeats; repeat++) {
    UNROLL_LOOP for (i32 i = 0; i < CHAINS; i++) sum[i] = vf_fma(sum[i], x, y);
  }
  UNROLL_LOOP for (i32 i = 0; i < CHAINS; i++) total += sum[i];
  *to = vf_sum(total);
}

static void copy(float *to, const float *from, i32 count, i32 repeats) {
  for (i32 repeat = 0; repeat < repeats; repeat++) {
    for (i32 i = 0; i + 4 * LANES <= count; i += 4 * LANES) {
      UNROLL_LOOP for (i32 j = 0; j < 4; j++) {
        vf_store(to + i + j * LANES, vf_load(from + i + j * LANES));
      }
    }
    FORGET_MEMORY;
  }
}

double SUFFIX(thimble_peak)(float *to, const float *from, i32 count, i32 repeats) {
  if (count > 0) {
    copy(to, from, count, repeats);
    return 2.0 * sizeof(float) * count * repeats;
  }
  multiply_add(to, repeats);
  return 2.0 * CHAINS * LANES * repeats;
}
