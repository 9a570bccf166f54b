/* random.c - random numbers as a function of seed, count, salt and position (Philox4x32-10), so that
 * the split over threads never shows. packages/core/src/random.ts has the same generator.
 */
#include "kernels.h"
#include "loop.h"

typedef unsigned int u32;
typedef unsigned long long u64;

/* One block: words = bijection_key(words). */
static void philox(u32 words[4], u32 key0, u32 key1) {
  for (i32 round = 0; round < 10; round++) {
    const u64 first = (u64)0xd2511f53u * words[0], second = (u64)0xcd9e8d57u * words[2];
    words[0] = (u32)(second >> 32) ^ words[1] ^ key0;
    words[1] = (u32)second;
    words[2] = (u32)(first >> 32) ^ words[3] ^ key1;
    words[3] = (u32)first;
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

/* y[i] = step * an odd whole number below 2^24 in magnitude; y is the memory of x. Integers and one
 * rounding: the bits are the same on every machine. */
KERNEL(random_uniform) {
  const u32 seed = (u32)I32(ctx, args->seed)[0], run = (u32)I32(ctx, args->count)[0];
  float *y = F32(ctx, args->y);
  i64 begin, end;
  share(ctx, args->elements, GRAIN, &begin, &end);
  for (i64 i = begin; i < end; i += 4) {
    u32 words[4] = {(u32)(i / 4), 0, run, 0};
    philox(words, seed, (u32)args->salt);
    for (i64 j = 0; j < 4 && i + j < end; j++) {
      y[i + j] = args->step * (float)(2 * (i32)(words[j] >> 8) + 1 - (1 << 24));
    }
  }
}
