/* linalg.h - how much memory the factorisations need; the planner repeats these formulas. They hold
 * for every target and any number of threads; 16 is the extent of a block (BLOCK in double.h).
 */
#ifndef THIMBLE_LINALG_H
#define THIMBLE_LINALG_H

#include "kernel.h"

/* A factor of `padded` rows (a multiple of 16), see triangular.h; a multiple of 64. */
static inline i64 triangular_bytes(i64 padded) {
  return padded * (8 * (padded + 8) + 2 * 8 * 16 + 4);
}

static inline i64 cholesky_workspace(i64 size) { return triangular_bytes(round_up(size, 16)); }
/* A block of rows of the inverse. */
static inline i64 cholesky_scratch(i64 size) { return 8 * 16 * (round_up(size, 16) + 8); }

/* Pairs of blocks of rows in the upper triangle of a Gram matrix. */
static inline i64 gram_pairs(i64 rows) {
  i64 blocks = round_up(rows, 16) / 16;
  return blocks * (blocks + 1) / 2;
}
/* Parts that its sums over columns are cut into. */
#define GRAM_PARTS 4

/* The factor, its inverse, the larger of the parts of the Gram matrix and two rows of doubles. */
static inline i64 orthonormalise_workspace(i64 rows, i64 cols) {
  i64 padded = round_up(rows, 16), gram = 4 * 8 * 256 * gram_pairs(rows);
  i64 pair = round_up(2 * 8 * cols, 64);
  return triangular_bytes(padded) + 8 * padded * (padded + 8) + (gram > pair ? gram : pair);
}
/* 64 packed columns, as floats and as doubles. */
static inline i64 orthonormalise_scratch(i64 rows) { return 12 * 64 * round_up(rows, 32) + 64; }

#endif
