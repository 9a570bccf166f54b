/* ahead.h - asking for memory before it is read, a few lines at a time between other work.
 *
 * A processor fetches on its own only what it sees coming: long runs of lines. Rows of a matrix that
 * are shorter than the distance between them are not, and each line of them is waited for.
 */
#ifndef THIMBLE_AHEAD_H
#define THIMBLE_AHEAD_H

#include "gemm.h"

#ifdef __wasm__ /* has no way to ask */
#define ASK_AHEAD 0
#else
#define ASK_AHEAD 1
#endif
enum { LINE = 16, ASK_STEPS = 16 }; /* floats of a line; steps of k between a tile's turns */

/* What is asked for, and how far that is; a few lines at a turn, because many at once would delay
 * the work's own. */
typedef struct {
  const float *row;
  i64 stride, width, rows; /* floats from row to row, floats of a row, rows to come */
  i64 at, each;            /* where in the row; floats per turn */
} Ahead;

/* All of `soon` in so many turns. */
static inline Ahead ahead_in(Soon soon, i64 turns) {
  const Matrix x = soon.x;
  Ahead ahead = {.row = x.data};
  if (!ASK_AHEAD || turns < 1 || (x.col != 1 && x.row != 1)) return ahead;
  ahead.stride = x.col == 1 ? x.row : x.col;
  ahead.width = x.col == 1 ? soon.cols : soon.rows;
  ahead.rows = x.col == 1 ? soon.rows : soon.cols;
  ahead.each = (ahead.rows * (ahead.width + LINE) + turns - 1) / turns;
  return ahead;
}

/* All of it during `tiles` tiles of `k`. */
static inline Ahead ahead_of(Soon soon, i64 tiles, i64 k) {
  return ahead_in(soon, tiles * ((k + ASK_STEPS - 1) / ASK_STEPS));
}

/* One turn. A row's last float is asked for as well: rows may begin anywhere in a line. */
ALWAYS_INLINE void ask(Ahead *ahead) {
  for (i64 left = ahead->each; left > 0 && ahead->rows > 0; left -= LINE) {
    if (ahead->at < ahead->width) {
      __builtin_prefetch(ahead->row + ahead->at, 0, 2);
      ahead->at += LINE;
    } else {
      __builtin_prefetch(ahead->row + ahead->width - 1, 0, 2);
      ahead->at = 0;
      ahead->row += ahead->stride;
      ahead->rows--;
    }
  }
}

#endif
