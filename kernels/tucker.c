/* tucker.c - products of a tensor with a matrix along one of its axes, for Tucker factors.
 *
 * With P the product of the extents before the axis and Q that of those behind it, the tensor is
 * x [P, D, Q], and both kernels are matrix products of gemm.c:
 *   mode_product     y[p] = M x[p] for every p            Q = 1: y [P, m] = x [P, D] M'
 *   mode_contract    y = sum over p of z[p] x[p]'         Q = 1: y = z' x
 * The tensor is read once. It is never packed by transposing: as a right-hand side its rows are
 * copied as they are; with Q > 1 the contraction computes y' = sum x[p] z[p]', where x is the
 * left-hand side, read where it is, and the small z is packed. Pieces of work are as many for any
 * number of threads, and neighbouring pieces of one thread are joined into one product.
 *
 * GFLOP/s on one core of a loaded 2-core Xeon, thread CPU time, where matmul 1024^3 has 139, 76 and
 * 25; D is the middle (Q > 1) or the last extent, r = 16 / 32 / 64:
 *                              AVX-512          AVX2           SSE2
 *   product 16 x 197 x 768      58  76  97      36  52  57     18  20  23
 *   contract                   106 133 129      73  78  68     24  24  24
 *   product 3152 x 768          95 138 148
 *   contract                    53  82 101
 */
#include "tucker.h"
#include "gemm.h"
#include "kernels.h"
#include "loop.h"

/* Columns of a piece of work: whole tiles on every target. */
#define PIECE 32

typedef struct {
  i64 outer, at, count; /* which p or part; columns or rows [at, at + count) of it */
} Pieces;

/* Takes the pieces of one `outer` from [*item, end); `extent` is what pieces cut. */
static Pieces next_pieces(i64 *item, i64 end, i64 extent) {
  const i64 pieces = (extent + PIECE - 1) / PIECE, outer = *item / pieces;
  const i64 last = end < (outer + 1) * pieces ? end : (outer + 1) * pieces;
  const i64 at = *item % pieces * PIECE, stop = (last - outer * pieces) * PIECE;
  *item = last;
  return (Pieces){outer, at, (stop < extent ? stop : extent) - at};
}

/* ---- mode_product -------------------------------------------------------------------------- */

/* y [P, rows, Q] = m [rows, D] by x [P, D, Q] along D; m is u, or its transpose */
KERNEL(mode_product) {
  const i64 depth = args->extent, inner = args->inner, rows = args->rows;
  const float *x = F32(ctx, args->x), *u = F32(ctx, args->u);
  float *y = F32(ctx, args->y), *scratch = (float *)ctx->scratch;
  const Matrix m = args->transposed ? (Matrix){u, 1, rows} : (Matrix){u, depth, 1};
  i64 item, end;
  if (inner == 1) {
    share(ctx, args->outer, TILE_ROWS, &item, &end);
    if (item == end) return;
    SUFFIX(gemm_serial)(end - item, rows, depth, (Matrix){x + item * depth, depth, 1},
                        (Matrix){m.data, m.col, m.row}, y + item * rows, rows, 1, 0, scratch);
    return;
  }
  share(ctx, args->outer * ((inner + PIECE - 1) / PIECE), 1, &item, &end);
  while (item < end) {
    const Pieces on = next_pieces(&item, end, inner);
    const Matrix right = {x + on.outer * depth * inner + on.at, inner, 1};
    SUFFIX(gemm_serial)(rows, on.count, depth, m, right, y + on.outer * rows * inner + on.at, inner,
                        1, 0, scratch);
  }
}

/* ---- mode_contract ------------------------------------------------------------------------- */

/* One operand of a contraction as [P, extent, Q]. */
typedef struct {
  const float *data;
  i64 extent, inner;
} Tensor;

/* Q = 1: to[r, D] = the part's z' x in columns [at, at + count). */
static void contract_rows(Tensor x, Tensor z, i64 begin, i64 end, i64 at, i64 count, float *to,
                          float *scratch) {
  const Matrix left = {z.data + begin * z.extent, 1, z.extent};
  const Matrix right = {x.data + begin * x.extent + at, x.extent, 1};
  SUFFIX(gemm_serial)(z.extent, count, end - begin, left, right, to + at, x.extent, 1, 0, scratch);
}

/* Q > 1: to[D, r] = the sum over [begin, end) of P Q of x z', in rows [at, at + count). */
static void contract_slices(Tensor x, Tensor z, i64 begin, i64 end, i64 at, i64 count, float *to,
                            float *scratch) {
  const i64 inner = x.inner;
  i64 from = begin;
  do {
    const i64 slice = from / inner, column = from % inner;
    const i64 stop = end < (slice + 1) * inner ? end : (slice + 1) * inner;
    const Matrix left = {x.data + (slice * x.extent + at) * inner + column, inner, 1};
    const Matrix right = {z.data + slice * z.extent * inner + column, 1, inner};
    SUFFIX(gemm_serial)(count, z.extent, stop - from, left, right, to + at * z.extent, z.extent, 1,
                        from > begin, scratch);
    from = stop;
  } while (from < end);
}

/* y[r, D] = sum over the parts [parts, D, r], in order. */
static void add_transposed(const Context *ctx, const float *parts, i64 count, i64 rows, i64 extent,
                           float *y) {
  i64 begin, end;
  share(ctx, extent, 16, &begin, &end);
  for (i64 i = 0; i < rows; i++) {
    for (i64 column = begin; column < end; column++) {
      const float *from = parts + column * rows + i;
      float sum = from[0];
      for (i64 part = 1; part < count; part++) sum += from[part * extent * rows];
      y[i * extent + column] = sum;
    }
  }
}

static void add_parts(const Context *ctx, const float *parts, i64 count, i64 elements, float *y) {
  i64 begin, end;
  share(ctx, elements, 16, &begin, &end);
  for (i64 i = begin; i < end; i += LANES) {
    const i64 lanes = end - i;
    vf sum = vf_take(parts + i, lanes);
    for (i64 part = 1; part < count; part++) sum += vf_take(parts + part * elements + i, lanes);
    vf_put(y + i, sum, lanes);
  }
}

/* y [r, D] = sum over p and q of z [P, r, Q] x [P, D, Q]; z may be x */
KERNEL(mode_contract) {
  const i64 inner = args->inner, extent = args->extent, rows = args->rows;
  const i64 length = args->outer * inner, parts = contract_parts(extent);
  const Tensor x = {F32(ctx, args->x), extent, inner}, z = {F32(ctx, args->z), rows, inner};
  float *y = F32(ctx, args->y), *sums = F32(ctx, args->workspace);
  float *scratch = (float *)ctx->scratch;
  i64 item, end;
  share(ctx, parts * ((extent + PIECE - 1) / PIECE), 1, &item, &end);
  while (item < end) {
    const Pieces on = next_pieces(&item, end, extent);
    const i64 begin = length * on.outer / parts, stop = length * (on.outer + 1) / parts;
    float *to = sums ? sums + on.outer * rows * extent : y;
    if (inner == 1) contract_rows(x, z, begin, stop, on.at, on.count, to, scratch);
    else contract_slices(x, z, begin, stop, on.at, on.count, to, scratch);
  }
  if (!sums) return;
  SUFFIX(thimble_barrier)(ctx);
  if (inner == 1) add_parts(ctx, sums, parts, rows * extent, y);
  else add_transposed(ctx, sums, parts, rows, extent, y);
}
