/* tucker.h - how much memory the mode products need; the planner repeats these formulas. */
#ifndef THIMBLE_TUCKER_H
#define THIMBLE_TUCKER_H

#include "kernel.h"

/* Parts that the reduction of a contraction is cut into, so that there are at least 8 pieces of
 * work; a piece has 32 of the `extent` columns of y. */
static inline i64 contract_parts(i64 extent) {
  i64 pieces = round_up(extent, 32) / 32;
  return round_up(8, pieces) / pieces;
}

/* A y [rows, extent] for each part; it is not needed where the one part is y itself. */
static inline i64 mode_contract_workspace(i64 inner, i64 rows, i64 extent) {
  i64 parts = contract_parts(extent);
  return inner == 1 && parts == 1 ? 0 : 4 * parts * rows * extent;
}

#endif
