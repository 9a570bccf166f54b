/* loop.h - loops over arrays in whole vectors, and sums over rows in an order fixed by the shapes.
 *
 * An array of any length is a run of whole vectors and at most one part of a vector. FOR_VECTORS
 * calls one body for both; vf_take and vf_put become plain loads and stores where the count is the
 * constant LANES.
 *
 * Sums over rows: the rows are cut into CHUNKS chunks, whatever the number of threads. Each chunk
 * of each block of columns is summed by one thread into a workspace, and after a barrier the
 * chunks are added in order. A block is summed SUM_ROWS rows at a time, each read along its columns,
 * with the sums in the first-level cache: columns read downwards are too far apart to be prefetched.
 */
#ifndef THIMBLE_LOOP_H
#define THIMBLE_LOOP_H

#include "simd.h"

/* Smallest piece of an elementwise array that a thread takes: a 4 KiB page, so no two threads
 * share a cache line. */
#define GRAIN 1024

/* The first `count` floats at p (all LANES when count >= LANES), zero in the other lanes. */
ALWAYS_INLINE vf vf_take(const float *p, i64 count) {
  return count >= LANES ? vf_load(p) : vf_load_part(p, count);
}
ALWAYS_INLINE void vf_put(float *p, vf x, i64 count) {
  if (count >= LANES) vf_store(p, x);
  else vf_store_part(p, x, count);
}

/* The same for an array that is read once, from one end to the other: prefetches what is needed
 * PREFETCH_DISTANCE floats later, which the processor alone would fetch too late. Prefetching beyond
 * the end is harmless. */
#define PREFETCH_DISTANCE 1024
ALWAYS_INLINE vf vf_take_next(const float *p, i64 count) {
  __builtin_prefetch(p + PREFETCH_DISTANCE, 0);
  return vf_take(p, count);
}
ALWAYS_INLINE void vf_put_next(float *p, vf x, i64 count) {
  __builtin_prefetch(p + PREFETCH_DISTANCE, 1);
  vf_put(p, x, count);
}

/* body(state, i, LANES) for each whole vector at i in [begin, end), then body(state, i, rest). */
#define FOR_VECTORS(begin, end, body, state)                                  \
  do {                                                                        \
    i64 at_ = (begin);                                                        \
    const i64 end_ = (end);                                                   \
    for (; at_ + LANES <= end_; at_ += LANES) body((state), at_, LANES);      \
    if (at_ < end_) body((state), at_, end_ - at_);                           \
  } while (0)

/* The same with several vectors at a time: body(n, state, i, LANES) with n = `many`, then n = 1. */
#define FOR_EACH_VECTORS(many, begin, end, body, state)                                        \
  do {                                                                                         \
    i64 at_ = (begin);                                                                         \
    const i64 end_ = (end);                                                                    \
    for (; at_ + (many) * LANES <= end_; at_ += (many) * LANES) body((many), (state), at_, LANES); \
    for (; at_ + LANES <= end_; at_ += LANES) body(1, (state), at_, LANES);                    \
    if (at_ < end_) body(1, (state), at_, end_ - at_);                                         \
  } while (0)

ALWAYS_INLINE void copy_floats(float *to, const float *from, i64 count) {
  i64 i = 0;
  for (; i + LANES <= count; i += LANES) vf_store(to + i, vf_load(from + i));
  if (i < count) vf_store_part(to + i, vf_load_part(from + i, count - i), count - i);
}

ALWAYS_INLINE void fill_floats(float *to, float value, i64 count) {
  const vf x = vf_splat(value);
  i64 i = 0;
  for (; i + LANES <= count; i += LANES) vf_store(to + i, x);
  if (i < count) vf_store_part(to + i, x, count - i);
}

/* Chunks of a sum over rows; part of the workspace formulas that the op records state. */
#define CHUNKS 16
/* Columns that one thread sums at a time, and rows that it adds before a sum is stored. */
#define SUM_COLUMNS 256
#define SUM_ROWS 4
/* Rows of a chunk that statistics.c and batchnorm.c sum by themselves, which keeps the error of a long sum
 * small. */
#define SUM_BLOCK 64

/* First row of `chunk`; chunk CHUNKS begins at the end. Chunks may be empty. */
ALWAYS_INLINE i64 chunk_begin(i64 rows, i64 chunk) { return rows * chunk / CHUNKS; }

/* y[0..cols) = sum of partial [CHUNKS, cols] over the chunks, in order; call after a barrier. */
static inline void add_chunks(const Context *ctx, const float *partial, float *y, i64 cols) {
  i64 begin, end;
  share(ctx, cols, 16, &begin, &end);
  for (i64 column = begin; column < end; column += LANES) {
    const i64 count = end - column;
    vf sum = vf_take(partial + column, count);
    for (i64 chunk = 1; chunk < CHUNKS; chunk++) {
      sum += vf_take(partial + chunk * cols + column, count);
    }
    vf_put(y + column, sum, count);
  }
}

#endif
