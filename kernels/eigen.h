/* eigen.h - how much memory symmetric_eigen needs; the planner repeats these formulas. */
#ifndef THIMBLE_EIGEN_H
#define THIMBLE_EIGEN_H

#include "kernel.h"

/* Rotations that wait to be applied to the vectors. */
#define EIGEN_ROTATIONS 16384

/* Matrices of a batch that are at work at the same time, a thread each; large ones come one after
 * the other and have all threads, which takes less memory. */
static inline i64 eigen_slots(i64 batch, i64 size) {
  i64 most = size > 256 ? 1 : 4;
  return batch < most ? batch : most;
}
/* Doubles between rows: an odd number of cache lines. */
static inline i64 eigen_row(i64 size) { return round_up(size, 16) + 8; }

/* The matrix, five rows, and panels of up to 32 columns of vectors. */
static inline i64 eigen_matrix_bytes(i64 size, i64 vectors) {
  return 8 * ((size + 5) * eigen_row(size) + vectors * size * round_up(size, 32));
}
static inline i64 eigen_workspace(i64 batch, i64 size, i64 vectors) {
  return eigen_slots(batch, size) * eigen_matrix_bytes(size, vectors);
}
/* Seven rows and the rotations. */
static inline i64 eigen_scratch(i64 size) { return 8 * (7 * eigen_row(size) + 2 * 16384); }

#endif
