/* triangular.h - the blocked Cholesky factor and its inverse, in double; triangular.c says how.
 *
 * The extent of the matrix is padded to a multiple of BLOCK with rows and columns of the identity.
 * Rows are an odd number of cache lines apart, so that a column never falls on few cache sets.
 */
#ifndef THIMBLE_TRIANGULAR_H
#define THIMBLE_TRIANGULAR_H

#include "double.h"
#include "linalg.h"

typedef struct {
  double *rows;      /* [padded, row]: the symmetric matrix, then the factor's blocks above the
                        diagonal ones */
  double *diagonals; /* [padded, BLOCK]: the factor's diagonal blocks, zeros below */
  double *inverses;  /* [padded, BLOCK]: and their inverses */
  i32 *dropped;      /* [padded]: 1 where a pivot could not be told from zero */
  i64 padded, row;
} Triangular;

/* Pivots up to `tolerance` times their own diagonal element of the matrix are dropped: they become
 * `floor`, and the rest of their rows zero. NaN is not dropped. */
typedef struct {
  double tolerance, floor;
} Pivots;

/* A Triangular in `memory`, triangular_bytes of it. */
static inline Triangular triangular_at(void *memory, i64 extent) {
  const i64 padded = round_up(extent, BLOCK), row = padded + 8;
  double *rows = memory, *diagonals = rows + padded * row, *inverses = diagonals + padded * BLOCK;
  return (Triangular){rows, diagonals, inverses, (i32 *)(inverses + padded * BLOCK), padded, row};
}

/* matrix = C'C, C upper triangular with a positive diagonal; only the blocks of its upper triangle
 * are read, of which the diagonal ones stay. All threads of ctx call it; ends with a barrier. */
void SUFFIX(triangular_factor)(const Context *ctx, const Triangular *matrix, Pivots pivots);

/* out[BLOCK, padded] = the rows of C^-1 from `block` * BLOCK on, `ld` apart; columns left of the
 * diagonal block are not written. */
void SUFFIX(triangular_inverse_rows)(const Triangular *factor, i64 block, double *out, i64 ld);

#endif
