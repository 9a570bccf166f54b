/* triangular.c - the blocked Cholesky factor A = C'C and the inverse of C, in double.
 *
 * Left-looking by rows of blocks: with all rows above block p known,
 *   T(p,q) = A(p,q) - sum over k above p of C(k,p)' C(k,q)      C(p,p) = chol(T(p,p))
 *   C(p,q) = C(p,p)^-T T(p,q)
 * A thread owns the block columns q = thread, thread + threads, ... and computes the diagonal block
 * for itself, so one barrier for each row of blocks is enough. The inverse V satisfies V C = I:
 *   V(p,p) = C(p,p)^-1      V(p,q) = -(sum over p <= k < q of V(p,k) C(k,q)) C(q,q)^-1
 * which makes its rows of blocks independent of one another. Products with the inverted diagonal
 * blocks take the place of triangular solves.
 */
#include "triangular.h"

/* out = base - a b, all [BLOCK, BLOCK] with rows `ld` apart (out: BLOCK); base null: out = -a b. */
static void subtract_product(double *out, const double *base, i64 ld, i64 depth, DoubleMatrix a,
                             const double *b, i64 ldb) {
  for (i64 i = 0; i < BLOCK; i += DTILE_ROWS) {
    const DoubleMatrix band = {a.data + i * a.row, a.row, a.col};
    for (i64 j = 0; j < BLOCK; j += DTILE_COLS) {
      vd sum[DTILE_ROWS][DTILE_VECTORS];
      double_tile(depth, band, b + j, ldb, sum);
      UNROLL_LOOP for (i32 r = 0; r < DTILE_ROWS; r++) {
        UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) {
          const i64 column = j + v * DLANES;
          const vd from = base ? vd_load(base + (i + r) * ld + column) : (vd){0};
          vd_store(out + (i + r) * BLOCK + column, from - sum[r][v]);
        }
      }
    }
  }
}

/* out[BLOCK, BLOCK] = a b, rows of out `ldo` apart. */
static void block_product(double *out, i64 ldo, DoubleMatrix a, const double *b) {
  for (i64 i = 0; i < BLOCK; i += DTILE_ROWS) {
    const DoubleMatrix band = {a.data + i * a.row, a.row, a.col};
    for (i64 j = 0; j < BLOCK; j += DTILE_COLS) {
      vd sum[DTILE_ROWS][DTILE_VECTORS];
      double_tile(BLOCK, band, b + j, BLOCK, sum);
      UNROLL_LOOP for (i32 r = 0; r < DTILE_ROWS; r++) {
        UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) {
          vd_store(out + (i + r) * ldo + j + v * DLANES, sum[r][v]);
        }
      }
    }
  }
}

/* The upper triangle of block becomes its factor, zeros below; own: the matrix's diagonal. */
static void factor_block(double *block, const double *own, i64 step, Pivots pivots, i32 *dropped) {
  for (i64 i = 0; i < BLOCK; i++) {
    double *row = block + i * BLOCK;
    const double pivot = row[i];
    dropped[i] = pivot <= pivots.tolerance * own[i * step];
    row[i] = __builtin_sqrt(dropped[i] ? pivots.floor : pivot);
    const double scale = dropped[i] ? 0 : 1 / row[i];
    for (i64 j = 0; j < i; j++) row[j] = 0;
    for (i64 j = i + 1; j < BLOCK; j++) row[j] *= scale;
    for (i64 k = i + 1; k < BLOCK; k++) {
      for (i64 j = k; j < BLOCK; j++) block[k * BLOCK + j] -= row[k] * row[j];
    }
  }
}

/* inverse = block^-1, both upper triangular: row by row, subtracting multiples of block's rows. */
static void invert_block(double *inverse, const double *block) {
  for (i64 i = 0; i < BLOCK; i++) {
    double *row = inverse + i * BLOCK;
    for (i64 j = 0; j < BLOCK; j++) row[j] = j == i;
    for (i64 k = i; k < BLOCK; k++) {
      row[k] /= block[k * BLOCK + k];
      for (i64 j = k + 1; j < BLOCK; j++) row[j] -= row[k] * block[k * BLOCK + j];
    }
  }
}

static void copy_block(double *to, const double *from) {
  for (i64 i = 0; i < BLOCK * BLOCK; i++) to[i] = from[i];
}

void SUFFIX(triangular_factor)(const Context *ctx, const Triangular *matrix, Pivots pivots) {
  const i64 ld = matrix->row, blocks = matrix->padded / BLOCK;
  double diagonal[BLOCK * BLOCK], inverse[BLOCK * BLOCK], rest[BLOCK * BLOCK];
  i32 dropped[BLOCK];
  for (i64 p = 0; p < blocks; p++) {
    const i64 top = p * BLOCK;
    double *band = matrix->rows + top * ld;
    const DoubleMatrix above = {matrix->rows + top, 1, ld};
    subtract_product(diagonal, band + top, ld, top, above, matrix->rows + top, ld);
    factor_block(diagonal, band + top, ld + 1, pivots, dropped);
    invert_block(inverse, diagonal);
    if (p % ctx->threads == ctx->thread) {
      copy_block(matrix->diagonals + top * BLOCK, diagonal);
      copy_block(matrix->inverses + top * BLOCK, inverse);
      for (i64 i = 0; i < BLOCK; i++) matrix->dropped[top + i] = dropped[i];
    }
    for (i64 q = p + 1; q < blocks; q++) {
      if (q % ctx->threads != ctx->thread) continue;
      double *to = band + q * BLOCK;
      subtract_product(rest, to, ld, top, above, matrix->rows + q * BLOCK, ld);
      block_product(to, ld, (DoubleMatrix){inverse, 1, BLOCK}, rest);
      for (i64 i = 0; i < BLOCK; i++) {
        for (i64 j = 0; dropped[i] && j < BLOCK; j++) to[i * ld + j] = 0;
      }
    }
    SUFFIX(thimble_barrier)(ctx);
  }
}

void SUFFIX(triangular_inverse_rows)(const Triangular *factor, i64 block, double *out, i64 ld) {
  const i64 first = block * BLOCK, padded = factor->padded;
  double product[BLOCK * BLOCK];
  for (i64 i = 0; i < BLOCK; i++) {
    for (i64 j = 0; j < BLOCK; j++) {
      out[i * ld + first + j] = factor->inverses[(first + i) * BLOCK + j];
    }
  }
  for (i64 q = first + BLOCK; q < padded; q += BLOCK) {
    const DoubleMatrix known = {out + first, ld, 1};
    const double *above = factor->rows + first * factor->row + q;
    subtract_product(product, 0, 0, q - first, known, above, factor->row);
    block_product(out + q, ld, (DoubleMatrix){product, BLOCK, 1}, factor->inverses + q * BLOCK);
  }
}
