/* simd.h - the vector type of this target and the few operations that the kernels need.
 *
 *   vf   LANES floats        vi   LANES int32 (also the mask of a comparison: 0 or -1 per lane)
 *   LANES is 16 (AVX-512), 8 (AVX2 with FMA) or 4 (WebAssembly SIMD, NEON, SSE2).
 *
 * vf and vi are GCC/Clang vector types: + - * / & | ^ ~ << >> and comparisons work on them as on
 * scalars; (vi)x and (vf)x reinterpret bits. What the language lacks is below. Horizontal sums add
 * in one fixed order, so a result depends on LANES but never on threads. NaN and infinity behave as
 * in IEEE 754.
 */
#ifndef THIMBLE_SIMD_H
#define THIMBLE_SIMD_H

#include "kernel.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define LANES 8
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define LANES 4
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#define LANES 4
#else
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#define LANES 4
#endif

#ifdef __clang__
#define UNROLL_LOOP _Pragma("clang loop unroll(full)")
#else
#define UNROLL_LOOP _Pragma("GCC unroll 64")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(LANES * 4), may_alias));
typedef i32 vi __attribute__((vector_size(LANES * 4), may_alias));
/* The same types at any address that is a multiple of 4. */
typedef float vf_unaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef i32 vi_unaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

ALWAYS_INLINE vf vf_load(const float *p) { return *(const vf_unaligned *)p; }
ALWAYS_INLINE void vf_store(float *p, vf x) { *(vf_unaligned *)p = x; }
ALWAYS_INLINE vi vi_load(const i32 *p) { return *(const vi_unaligned *)p; }
ALWAYS_INLINE void vi_store(i32 *p, vi x) { *(vi_unaligned *)p = x; }

/* x - {0} keeps the sign of a zero, which x + {0} would lose. */
ALWAYS_INLINE vf vf_splat(float x) { return x - (vf){0}; }
ALWAYS_INLINE vi vi_splat(i32 x) { return x - (vi){0}; }
ALWAYS_INLINE vf vf_zero(void) { return (vf){0}; }

/* mask lane ? yes : no */
ALWAYS_INLINE vf vf_select(vi mask, vf yes, vf no) {
  return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}

/* {0, 1, 2, ...} */
ALWAYS_INLINE vi vi_iota(void) {
#if LANES == 16
  return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif LANES == 8
  return (vi){0, 1, 2, 3, 4, 5, 6, 7};
#else
  return (vi){0, 1, 2, 3};
#endif
}

/* a * b + c; rounded once where the target has a fused instruction, else twice. */
ALWAYS_INLINE vf vf_fma(vf a, vf b, vf c) {
#if LANES == 16
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif LANES == 8
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__wasm_relaxed_simd__)
  return (vf)__builtin_wasm_relaxed_madd_f32x4(a, b, c);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

#if LANES == 16
/* sum += a * (scalar in memory): one instruction instead of two. */
#define VF_FMA_LOAD(sum, a, scalar) \
  __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(a), "m"(scalar))
#endif

/* The larger (smaller) of a and b; b when either is NaN, so vf_max(bound, x) keeps a NaN in x. */
ALWAYS_INLINE vf vf_max(vf a, vf b) {
#if LANES == 16
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif LANES == 8
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__wasm_simd128__)
  return (vf)wasm_f32x4_pmax((v128_t)b, (v128_t)a);
#elif defined(__SSE2__)
  return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
  return vf_select(a > b, a, b);
#endif
}
ALWAYS_INLINE vf vf_min(vf a, vf b) {
#if LANES == 16
  return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif LANES == 8
  return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__wasm_simd128__)
  return (vf)wasm_f32x4_pmin((v128_t)b, (v128_t)a);
#elif defined(__SSE2__)
  return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
  return vf_select(a < b, a, b);
#endif
}

/* 1 / x to a unit in the last place, for x from 2^-126 to 2^126; a division takes eight times as long
 * on AVX-512. */
ALWAYS_INLINE vf vf_reciprocal(vf x) {
#if LANES == 16
  vf r = (vf)_mm512_rcp14_ps((__m512)x);
  return vf_fma(r, vf_fma(-x, r, vf_splat(1.0f)), r);
#else
  return 1.0f / x;
#endif
}

ALWAYS_INLINE vf vf_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
ALWAYS_INLINE vf vf_negate(vf x) { return (vf)((vi)x ^ (i32)0x80000000); }

ALWAYS_INLINE vf vf_sqrt(vf x) {
#if LANES == 16
  return (vf)_mm512_sqrt_ps((__m512)x);
#elif LANES == 8
  return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(__wasm_simd128__)
  return (vf)wasm_f32x4_sqrt((v128_t)x);
#elif defined(__SSE2__)
  return (vf)_mm_sqrt_ps((__m128)x);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return (vf)vsqrtq_f32((float32x4_t)x);
#else
  UNROLL_LOOP for (i32 i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

/* The first `count` lanes from memory (0 <= count <= LANES), then zeros; reads nothing else. */
ALWAYS_INLINE vf vf_load_part(const float *p, i64 count) {
#if LANES == 16
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#elif LANES == 8
  return (vf)_mm256_maskload_ps(p, (__m256i)(vi_iota() < (i32)count));
#else
  vf x = {0};
  if (count >= LANES) return vf_load(p);
  if (count > 0) x[0] = p[0];
  if (count > 1) x[1] = p[1];
  if (count > 2) x[2] = p[2];
  return x;
#endif
}

/* Writes the first `count` lanes and touches no other byte. */
ALWAYS_INLINE void vf_store_part(float *p, vf x, i64 count) {
#if LANES == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)x);
#elif LANES == 8
  _mm256_maskstore_ps(p, (__m256i)(vi_iota() < (i32)count), (__m256)x);
#else
  if (count >= LANES) {
    vf_store(p, x);
    return;
  }
  if (count > 0) p[0] = x[0];
  if (count > 1) p[1] = x[1];
  if (count > 2) p[2] = x[2];
#endif
}

/* x with the lanes from `count` on replaced by `fill`. */
ALWAYS_INLINE vf vf_fill_rest(vf x, i64 count, float fill) {
  return vf_select(vi_iota() < (i32)count, x, vf_splat(fill));
}

/* VF_DOWNi(x) moves lane j + i to lane j; only the lanes j < i mean anything. */
#ifdef __clang__
#define VF_PERMUTE(x, ...) __builtin_shufflevector(x, x, __VA_ARGS__)
#else
#define VF_PERMUTE(x, ...) __builtin_shuffle(x, (vi){__VA_ARGS__})
#endif
#if LANES == 16
#define VF_DOWN8(x) VF_PERMUTE(x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define VF_DOWN4(x) VF_PERMUTE(x, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3)
#define VF_DOWN2(x) VF_PERMUTE(x, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1)
#define VF_DOWN1(x) VF_PERMUTE(x, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0)
#elif LANES == 8
#define VF_DOWN4(x) VF_PERMUTE(x, 4, 5, 6, 7, 0, 1, 2, 3)
#define VF_DOWN2(x) VF_PERMUTE(x, 2, 3, 0, 1, 2, 3, 0, 1)
#define VF_DOWN1(x) VF_PERMUTE(x, 1, 0, 1, 0, 1, 0, 1, 0)
#else
#define VF_DOWN2(x) VF_PERMUTE(x, 2, 3, 0, 1)
#define VF_DOWN1(x) VF_PERMUTE(x, 1, 0, 1, 0)
#endif

/* Halves are folded: lane i meets lane i + LANES/2, then i + LANES/4, ... */
ALWAYS_INLINE float vf_sum(vf x) {
#if LANES == 16
  x += VF_DOWN8(x);
#endif
#if LANES >= 8
  x += VF_DOWN4(x);
#endif
  x += VF_DOWN2(x);
  x += VF_DOWN1(x);
  return x[0];
}
/* A NaN in one lane may be lost; sums and products of the values keep it. */
ALWAYS_INLINE float vf_highest(vf x) {
#if LANES == 16
  x = vf_max(x, VF_DOWN8(x));
#endif
#if LANES >= 8
  x = vf_max(x, VF_DOWN4(x));
#endif
  x = vf_max(x, VF_DOWN2(x));
  x = vf_max(x, VF_DOWN1(x));
  return x[0];
}

#endif
