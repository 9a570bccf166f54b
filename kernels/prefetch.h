/* prefetch.h - software prefetching: memory is fetched before it is read, a few cache lines at a
 * time between other work.
 *
 * A processor prefetches on its own only what it sees coming: long runs of lines. Rows of a matrix
 * that are shorter than the distance between them are not, and each line of them is waited for.
 */
#ifndef THIMBLE_PREFETCH_H
#define THIMBLE_PREFETCH_H

#include "gemm.h"

#ifdef __wasm__ /* has no instruction for it */
#define CAN_PREFETCH 0
#else
#define CAN_PREFETCH 1
#endif
enum { LINE = 16, PREFETCH_STEPS = 16 }; /* floats of a line; steps of k between a tile's turns */

/* What is prefetched, and how far that is; a few lines at a turn, because many at once would delay
 * the work's own. */
typedef struct {
  const float *row;
  i64 stride, width, rows; /* floats from row to row, floats of a row, rows to come */
  i64 at, each;            /* where in the row; floats per turn */
} Prefetch;

/* All of `next` in so many turns. */
static inline Prefetch prefetch_in(NextRead next, i64 turns) {
  const Matrix x = next.x;
  Prefetch prefetch = {.row = x.data};
  if (!CAN_PREFETCH || turns < 1 || (x.col != 1 && x.row != 1)) return prefetch;
  prefetch.stride = x.col == 1 ? x.row : x.col;
  prefetch.width = x.col == 1 ? next.cols : next.rows;
  prefetch.rows = x.col == 1 ? next.rows : next.cols;
  prefetch.each = (prefetch.rows * (prefetch.width + LINE) + turns - 1) / turns;
  return prefetch;
}

/* All of it during `tiles` tiles of `k`. */
static inline Prefetch prefetch_during(NextRead next, i64 tiles, i64 k) {
  return prefetch_in(next, tiles * ((k + PREFETCH_STEPS - 1) / PREFETCH_STEPS));
}

/* One turn. A row's last float is prefetched as well: rows may begin anywhere in a line. */
ALWAYS_INLINE void prefetch_turn(Prefetch *prefetch) {
  for (i64 left = prefetch->each; left > 0 && prefetch->rows > 0; left -= LINE) {
    if (prefetch->at < prefetch->width) {
      __builtin_prefetch(prefetch->row + prefetch->at, 0, 2);
      prefetch->at += LINE;
    } else {
      __builtin_prefetch(prefetch->row + prefetch->width - 1, 0, 2);
      prefetch->at = 0;
      prefetch->row += prefetch->stride;
      prefetch->rows--;
    }
  }
}

#endif
