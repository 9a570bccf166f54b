/* linalg.c - Cholesky factor with inverse, and orthonormal rows.
 *
 * Both work on double copies of their operands; triangular.c has the factor. Every element is
 * computed by one thread in an order that the shapes alone decide.
 */
#include "gemm.h"
#include "kernels.h"
#include "linalg.h"
#include "loop.h"
#include "triangular.h"

/* ---- cholesky ------------------------------------------------------------------------------ */

/* Pivots below the precision to which a float knows its own diagonal; they become FLOOR times the
 * largest diagonal element. */
#define PIVOT_TOLERANCE 0x1p-23
#define PIVOT_FLOOR 0x1p-22

/* This thread's rows of the matrix = a + shift I, padded. */
static void load_matrix(const Context *ctx, const Triangular *matrix, const float *a, i64 size,
                        double shift) {
  for (i64 i = ctx->thread; i < matrix->padded; i += ctx->threads) {
    double *row = matrix->rows + i * matrix->row;
    for (i64 j = i / BLOCK * BLOCK; j < matrix->padded; j++) {
      const i64 above = i < j ? i : j, right = i < j ? j : i;
      row[j] = right < size ? a[above * size + right] : i == j;
    }
    if (i < size) row[i] += shift;
  }
}

static void store_factor(const Triangular *factor, i64 block, float *c, i64 size) {
  for (i64 i = block * BLOCK; i < (block + 1) * BLOCK && i < size; i++) {
    const double *row = factor->rows + i * factor->row;
    float *to = c + i * size;
    for (i64 j = 0; j < block * BLOCK; j++) to[j] = 0;
    for (i64 j = block * BLOCK; j < (block + 1) * BLOCK && j < size; j++) {
      to[j] = (float)factor->diagonals[i * BLOCK + j % BLOCK];
    }
    for (i64 j = (block + 1) * BLOCK; j < size; j++) to[j] = (float)row[j];
  }
}

static void store_inverse(const Triangular *factor, i64 block, float *inverse, i64 size,
                          double *rows) {
  const i64 ld = factor->padded + 8;
  SUFFIX(triangular_inverse_rows)(factor, block, rows, ld);
  for (i64 i = block * BLOCK; i < (block + 1) * BLOCK && i < size; i++) {
    const double *row = rows + i % BLOCK * ld;
    float *to = inverse + i * size;
    for (i64 j = 0; j < block * BLOCK; j++) to[j] = 0;
    for (i64 j = block * BLOCK; j < size; j++) to[j] = (float)row[j];
  }
}

/* c'c = a + ridge (trace a / size) I; inverse = c^-1; each may be absent */
KERNEL(cholesky) {
  const float *a = F32(ctx, args->a);
  float *c = F32(ctx, args->c), *inverse = F32(ctx, args->inverse);
  const i64 size = args->size;
  const Triangular matrix = triangular_at(operand(ctx, args->workspace), size);
  double trace = 0, largest = 0;
  for (i64 i = 0; i < size; i++) trace += a[i * size + i];
  const double shift = args->ridge * (trace / (double)size);
  for (i64 i = 0; i < size; i++) {
    const double own = a[i * size + i] + shift;
    if (own > largest) largest = own;
  }
  load_matrix(ctx, &matrix, a, size, shift);
  SUFFIX(thimble_barrier)(ctx);
  const Pivots pivots = {PIVOT_TOLERANCE, PIVOT_FLOOR * (largest > 0 ? largest : 1)};
  SUFFIX(triangular_factor)(ctx, &matrix, pivots);
  for (i64 block = ctx->thread; block < matrix.padded / BLOCK; block += ctx->threads) {
    if (c) store_factor(&matrix, block, c, size);
    if (inverse) store_inverse(&matrix, block, inverse, size, (double *)ctx->scratch);
  }
}

/* ---- orthonormalise ------------------------------------------------------------------------ */

/* Cholesky-QR: with the Gram matrix G = Q Q' = C'C, the rows of C^-T Q are orthonormal, in the
 * order and with the signs of Gram and Schmidt. One pass leaves errors of cond^2 double roundings,
 * and the second repairs them; a third and fourth run only where the second moved a lot. A row
 * whose residual is DEPENDENT times its length, or less, is dropped and filled in at the end with
 * the coordinate direction that is farthest from all other rows.
 * Reference: Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, "Roundoff error analysis of the
 * CholeskyQR2 algorithm", 2015. */
#define DEPENDENT 0x1p-22
#define MOST_PASSES 4
/* Up to this many rows one thread factors alone: barriers would cost more than they share. */
#define ALONE_ROWS 128
/* Columns of x that are packed at a time, and columns of q that are computed at a time. */
#define SEGMENT 64
#define PANEL 32

typedef struct {
  const float *data;
  i64 rows, cols;
} RowMatrix;

/* sums[BLOCK, BLOCK] += a' b over `depth`: blocks of packed rows, TILE_COLS apart. */
static void add_block(double *sums, i64 depth, const double *a, const double *b) {
  for (i64 i = 0; i < BLOCK; i += DTILE_ROWS) {
    const double *left = a + i / TILE_COLS * TILE_COLS * depth + i % TILE_COLS;
    for (i64 j = 0; j < BLOCK; j += DTILE_COLS) {
      const double *right = b + j / TILE_COLS * TILE_COLS * depth + j % TILE_COLS;
      vd sum[DTILE_ROWS][DTILE_VECTORS];
      double_tile(depth, (DoubleMatrix){left, 1, TILE_COLS}, right, TILE_COLS, sum);
      UNROLL_LOOP for (i32 r = 0; r < DTILE_ROWS; r++) {
        UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) {
          double *to = sums + (i + r) * BLOCK + j + v * DLANES;
          vd_store(to, vd_load(to) + sum[r][v]);
        }
      }
    }
  }
}

/* The rows of x in columns [at, at + depth) as panels of TILE_COLS doubles for each column. */
static double *pack_rows(RowMatrix x, i64 at, i64 depth, void *scratch) {
  const i64 count = gemm_packed_floats(depth, x.rows);
  float *floats = scratch;
  double *packed = (double *)(floats + round_up(x.rows, 32) * SEGMENT + 16);
  SUFFIX(gemm_pack)(floats, (Matrix){x.data + at, 1, x.cols}, depth, x.rows);
  for (i64 i = 0; i < count; i += DLANES) vd_store(packed + i, vd_load_floats(floats + i));
  return packed;
}

/* parts[part, pair, BLOCK, BLOCK]: the Gram matrix of each part of the columns, by pairs of blocks
 * of rows; elements of rows that x does not have hold anything. */
static void gram_of_parts(const Context *ctx, RowMatrix x, double *parts) {
  const i64 blocks = (x.rows + BLOCK - 1) / BLOCK, pairs = gram_pairs(x.rows);
  i64 part, end;
  share(ctx, GRAM_PARTS, 1, &part, &end);
  for (; part < end; part++) {
    const i64 last = x.cols * (part + 1) / GRAM_PARTS;
    double *sums = parts + part * pairs * BLOCK * BLOCK;
    for (i64 i = 0; i < pairs * BLOCK * BLOCK; i++) sums[i] = 0;
    for (i64 at = x.cols * part / GRAM_PARTS; at < last; at += SEGMENT) {
      const i64 depth = last - at < SEGMENT ? last - at : SEGMENT;
      const double *packed = pack_rows(x, at, depth, ctx->scratch);
      double *to = sums;
      for (i64 i = 0; i < blocks; i++) {
        const i64 row = i * BLOCK, left = row / TILE_COLS * TILE_COLS * depth + row % TILE_COLS;
        for (i64 j = i; j < blocks; j++, to += BLOCK * BLOCK) {
          const i64 other = j * BLOCK;
          const i64 right = other / TILE_COLS * TILE_COLS * depth + other % TILE_COLS;
          add_block(to, depth, packed + left, packed + right);
        }
      }
    }
  }
}

/* The matrix from its parts, by the threads of `team`. */
static void gather_gram(const Context *team, i64 rows, const double *parts,
                        const Triangular *matrix) {
  const i64 blocks = matrix->padded / BLOCK, pairs = gram_pairs(rows);
  i64 pair = 0;
  for (i64 from = 0; from < blocks; from++) {
    for (i64 to = from; to < blocks; to++, pair++) {
      if (pair % team->threads != team->thread) continue;
      for (i64 at = 0; at < BLOCK * BLOCK; at++) {
        const i64 i = from * BLOCK + at / BLOCK, j = to * BLOCK + at % BLOCK;
        double sum = i == j;
        if (i < rows && j < rows) {
          sum = 0;
          for (i64 part = 0; part < GRAM_PARTS; part++) {
            sum += parts[(part * pairs + pair) * BLOCK * BLOCK + at];
          }
        }
        matrix->rows[i * matrix->row + j] = sum;
      }
    }
  }
}

/* The Gram matrix's factor, and its inverse with the columns of dropped rows zero. */
static void factor_gram(const Context *team, i64 rows, const double *parts,
                        const Triangular *matrix, double *inverse) {
  const Pivots pivots = {DEPENDENT * DEPENDENT, 1};
  gather_gram(team, rows, parts, matrix);
  SUFFIX(thimble_barrier)(team);
  SUFFIX(triangular_factor)(team, matrix, pivots);
  for (i64 block = team->thread; block < matrix->padded / BLOCK; block += team->threads) {
    double *out = inverse + block * BLOCK * matrix->row;
    SUFFIX(triangular_inverse_rows)(matrix, block, out, matrix->row);
    for (i64 j = block * BLOCK; j < matrix->padded; j++) {
      for (i64 i = 0; matrix->dropped[j] && i < BLOCK; i++) out[i * matrix->row + j] = 0;
    }
  }
}

/* q[:, column ..+ count] = inverse' x[:, column ..+ count]; q may be x. */
static void apply_inverse(RowMatrix x, i64 column, i64 count, const double *inverse,
                          const Triangular *shape, float *q, double *panel) {
  for (i64 k = 0; k < shape->padded; k++) {
    const float *from = x.data + k * x.cols + column;
    for (i64 j = 0; j < PANEL; j++) panel[k * PANEL + j] = k < x.rows && j < count ? from[j] : 0;
  }
  /* From the last rows up: those that are written are not read again. */
  for (i64 i = shape->padded - DTILE_ROWS; i >= 0; i -= DTILE_ROWS) {
    for (i64 j = 0; j < PANEL; j += DTILE_COLS) {
      vd sum[DTILE_ROWS][DTILE_VECTORS];
      const DoubleMatrix left = {inverse + i, 1, shape->row};
      double_tile(i + DTILE_ROWS, left, panel + j, PANEL, sum);
      UNROLL_LOOP for (i32 r = 0; r < DTILE_ROWS; r++) {
        UNROLL_LOOP for (i32 v = 0; v < DTILE_VECTORS; v++) {
          vd_store(panel + (i + r) * PANEL + j + v * DLANES, sum[r][v]);
        }
      }
    }
  }
  for (i64 k = 0; k < x.rows; k++) {
    float *to = q + k * x.cols + column;
    for (i64 j = 0; j < count; j++) to[j] = (float)panel[k * PANEL + j];
  }
}

/* True when the rows that were factored were nearly orthonormal already. */
static i32 was_orthonormal(const Triangular *factor) {
  for (i64 i = 0; i < factor->padded; i++) {
    const double pivot = factor->diagonals[i * BLOCK + i % BLOCK];
    if (pivot < 0.9 || pivot > 1.1) return 0;
  }
  return 1;
}

/* row -= its components along the rows of q; the dropped ones are zero. */
static void project_out(const float *q, i64 rows, i64 cols, double *row) {
  for (i64 j = 0; j < rows; j++) {
    const float *other = q + j * cols;
    double component = 0;
    for (i64 c = 0; c < cols; c++) component += row[c] * other[c];
    for (i64 c = 0; c < cols; c++) row[c] -= component * other[c];
  }
  const double length = __builtin_sqrt(dot_doubles(row, row, cols));
  for (i64 c = 0; c < cols; c++) row[c] /= length;
}

/* Dropped rows become coordinate directions, made orthogonal to all other rows. `work`: the share
 * of each coordinate that the rows cover so far, and a row. */
static void fill_dropped(float *q, i64 rows, i64 cols, const i32 *dropped, double *work) {
  double *covered = work, *row = work + cols;
  for (i64 c = 0; c < cols; c++) covered[c] = 0;
  for (i64 i = 0; i < rows; i++) {
    for (i64 c = 0; c < cols; c++) covered[c] += (double)q[i * cols + c] * q[i * cols + c];
  }
  for (i64 i = 0; i < rows; i++) {
    if (!dropped[i]) continue;
    i64 free = 0;
    for (i64 c = 0; c < cols; c++) {
      if (covered[c] < covered[free]) free = c;
    }
    for (i64 c = 0; c < cols; c++) row[c] = c == free;
    project_out(q, rows, cols, row);
    project_out(q, rows, cols, row);
    for (i64 c = 0; c < cols; c++) {
      q[i * cols + c] = (float)row[c];
      covered[c] += row[c] * row[c];
    }
  }
}

KERNEL(orthonormalise) {
  const i64 rows = args->rows, cols = args->cols, panels = (cols + PANEL - 1) / PANEL;
  float *q = F32(ctx, args->q);
  const Triangular gram = triangular_at(operand(ctx, args->workspace), rows);
  double *inverse = (double *)((char *)gram.rows + triangular_bytes(gram.padded));
  double *parts = inverse + gram.padded * gram.row;
  RowMatrix x = {F32(ctx, args->y), rows, cols};
  Context team = *ctx;
  if (rows <= ALONE_ROWS) team.threads = 1;
  i32 done = 0;
  for (i32 pass = 0; pass < MOST_PASSES && !done; pass++) {
    gram_of_parts(ctx, x, parts);
    SUFFIX(thimble_barrier)(ctx);
    if (team.thread < team.threads) factor_gram(&team, rows, parts, &gram, inverse);
    SUFFIX(thimble_barrier)(ctx);
    done = pass > 0 && was_orthonormal(&gram);
    i64 panel, end;
    share(ctx, panels, 1, &panel, &end);
    for (; panel < end; panel++) {
      const i64 column = panel * PANEL, rest = cols - column;
      apply_inverse(x, column, rest < PANEL ? rest : PANEL, inverse, &gram, q,
                    (double *)ctx->scratch);
    }
    SUFFIX(thimble_barrier)(ctx);
    x.data = q;
  }
  i32 any = 0;
  for (i64 i = 0; i < rows; i++) any |= gram.dropped[i];
  if (any && ctx->thread == 0) fill_dropped(q, rows, cols, gram.dropped, parts);
}

/* ---- products of which a part is known ----------------------------------------------------- */

/* Columns of the result that one thread computes at a time. */
#define PART_COLS 64

/* The next part of a product that this thread computes, 0, 1, ...; those that take longest come first. */
static i64 next_part(const Context *ctx, i64 last) {
  return ctx->threads > 1 && ctx->barrier ? claim(ctx) : last + 1;
}

/* y [size, size] = x x' with x [size, depth], or of the columns x'x with x [depth, size] */
KERNEL(gram) {
  const float *x = F32(ctx, args->x);
  float *y = F32(ctx, args->y);
  const i64 size = args->size, depth = args->depth;
  const Matrix rows = args->columns ? (Matrix){x, 1, size} : (Matrix){x, depth, 1};
  const i64 parts = (size + PART_COLS - 1) / PART_COLS;
  for (i64 part = -1; (part = next_part(ctx, part)) < parts;) {
    const i64 begin = part * PART_COLS, below = size - begin;
    const i64 cols = below < PART_COLS ? below : PART_COLS;
    const Matrix a = matrix_at(rows, begin, 0), b = {a.data, a.col, a.row};
    float *corner = y + begin * size + begin;
    SUFFIX(gemm_serial)(below, cols, depth, a, b, corner, size, 1, 0, (float *)ctx->scratch);
    for (i64 j = 0; j < cols; j++) {
      for (i64 i = j + 1; i < below; i++) corner[j * size + i] = corner[i * size + j];
    }
  }
}

/* y [rows, size] = x u, u [size, size] with zeros below its diagonal */
KERNEL(triangular_product) {
  const i64 rows = args->rows, size = args->size;
  const Matrix x = {F32(ctx, args->x), size, 1};
  const i64 parts = (size + PART_COLS - 1) / PART_COLS;
  for (i64 part = -1; (part = next_part(ctx, part)) < parts;) {
    const i64 begin = (parts - 1 - part) * PART_COLS;
    const i64 cols = size - begin < PART_COLS ? size - begin : PART_COLS;
    const Matrix u = {F32(ctx, args->u) + begin, size, 1};
    SUFFIX(gemm_serial)(rows, cols, begin + cols, x, u, F32(ctx, args->y) + begin, size, 1, 0,
                        (float *)ctx->scratch);
  }
}
