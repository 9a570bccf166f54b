/* eigen.h - memory of the symmetric eigenproblem; the planner repeats these formulas. */
#ifndef THIMBLE_EIGEN_H
#define THIMBLE_EIGEN_H

#include "kernel.h"

/* Doubles from one row of a matrix to the next: whole cache lines. */
static inline i64 eigen_row(i64 size) { return round_up(size, 8); }

/* QL sweeps whose rotations are collected before they are applied. */
#define EIGEN_SWEEPS 32

/* The matrix, then its reflectors; the vectors; p, both diagonals and the factors of reflectors. */
static inline i64 eigen_workspace(i64 size, i64 vectors) {
  return 8 * eigen_row(size) * (size * (1 + vectors) + 4);
}
/* v and w, a copy of both diagonals, order; rotations and the range of each sweep. */
static inline i64 eigen_scratch(i64 size) {
  return 8 * (eigen_row(size) * (5 + 2 * EIGEN_SWEEPS) + 2 * EIGEN_SWEEPS);
}

#endif
