/* bytes.h - LANES integers as LANES signed bytes in memory, at any address. */
#ifndef THIMBLE_BYTES_H
#define THIMBLE_BYTES_H

#include "simd.h"

typedef signed char i8;
#define I8(ctx, offset) ((i8 *)operand((ctx), (offset)))

/* The lanes are within [-128, 127]. */
ALWAYS_INLINE void vi_store_bytes(i8 *p, vi x) {
#if LANES == 16
  _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8((__m512i)x));
#elif LANES == 8
  const __m128i halves =
      _mm_packs_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
  _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(halves, halves));
#elif defined(__wasm_simd128__)
  const v128_t halves = wasm_i16x8_narrow_i32x4((v128_t)x, (v128_t)x);
  wasm_v128_store32_lane(p, wasm_i8x16_narrow_i16x8(halves, halves), 0);
#elif defined(__SSE2__)
  const __m128i halves = _mm_packs_epi32((__m128i)x, (__m128i)x);
  const i32 bytes = _mm_cvtsi128_si32(_mm_packs_epi16(halves, halves));
  __builtin_memcpy(p, &bytes, LANES);
#elif defined(__ARM_NEON)
  const int16x4_t halves = vmovn_s32((int32x4_t)x);
  const int8x8_t narrow = vmovn_s16(vcombine_s16(halves, halves));
  const i32 bytes = vget_lane_s32(vreinterpret_s32_s8(narrow), 0);
  __builtin_memcpy(p, &bytes, LANES);
#else
  UNROLL_LOOP for (i32 i = 0; i < LANES; i++) p[i] = (i8)x[i];
#endif
}

ALWAYS_INLINE vi vi_load_bytes(const i8 *p) {
#if LANES == 16
  return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif LANES == 8
  return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
#elif defined(__wasm_simd128__)
  return (vi)wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(p)));
#elif defined(__SSE2__)
  i32 bytes;
  __builtin_memcpy(&bytes, p, LANES);
  const __m128i x = _mm_cvtsi32_si128(bytes), twice = _mm_unpacklo_epi8(x, x);
  return (vi)_mm_srai_epi32(_mm_unpacklo_epi16(twice, twice), 24);
#elif defined(__ARM_NEON)
  i32 bytes;
  __builtin_memcpy(&bytes, p, LANES);
  return (vi)vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(bytes)))));
#else
  vi x = {0};
  UNROLL_LOOP for (i32 i = 0; i < LANES; i++) x[i] = p[i];
  return x;
#endif
}

#endif
