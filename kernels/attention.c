/* attention.c - softmax attention over all tokens, forward and backward, one head at a time.
 *
 * Legend: N tokens, H heads, d head_dim; a row of qkv is [3, H, d]; per head Q, K, V, Y are [N, d]
 * and S, P are [N, N].
 *   S = scale Q K' + bias + mask   lse = log(rowsum(exp(S)))   P = exp(S - lse)   Y = P V
 * Backward, with delta = rowsum(dY * Y) = rowsum(P * dP), so that Y need not be kept:
 *   dV = P' dY   dP = dY V'   dS = scale P (dP - delta)   dQ = dS K   dK = dS' Q
 * P is never kept: the backward pass recomputes it from Q, K and lse (Dao et al., FlashAttention,
 * 2022) for `tile` query rows at a time, so a thread holds at most two arrays of tile x N scores.
 * All of a row's scores are there at once, so the softmax is the plain one, without rescaling.
 * dK and dV add up over the query tiles in ascending order, by the one thread that has the head.
 *
 * The bias [H, N, N] is optional; its gradient sums dS / scale over the images. The images are cut
 * into `chunks` parts; each part of each head adds up its own in the workspace, image after image,
 * and after a barrier the parts are added in order. With a shift the images are windows, and the
 * mask keeps apart the tokens that the shift has brought together
 * (packages/core/src/ops/attention-sizes.ts).
 *
 * Measured as in gemm.c, 4 N^2 d flops a head forward and 10 N^2 d backward, GFLOP/s:
 *   batch x N x H x d (tile)    AVX-512      AVX2         SSE2         wasm
 *   8 x 197 x 3 x 64 (64)        94 / 110    57 / 66      21 / 24      24 / 26
 *   8 x 50 x 12 x 64 (50)        63 /  80    46 / 54      19 / 21      20 / 23
 *   16 x 65 x 4 x 32 (65)        61 /  89    42 / 55      18 / 21      19 / 23
 */
#include "attention.h"
#include "prefetch.h"
#include "gemm.h"
#include "kernels.h"
#include "loop.h"
#include "math.h"

/* One head of one image: views into qkv, y and their gradients. */
typedef struct {
  Matrix q, k, v; /* [N, d] */
  i64 row, y_row; /* floats between tokens: 3 H d in qkv, H d in y */
  i64 qkv_at, y_at, lse_at;
} Head;

static Head head_at(const float *qkv, i64 index, i64 tokens, i64 heads, i64 dim) {
  i64 image = index / heads, head = index % heads, row = 3 * heads * dim;
  i64 at = image * tokens * row + head * dim;
  return (Head){.q = {qkv + at, row, 1},
                .k = {qkv + at + heads * dim, row, 1},
                .v = {qkv + at + 2 * heads * dim, row, 1},
                .row = row,
                .y_row = heads * dim,
                .qkv_at = at,
                .y_at = image * tokens * heads * dim + head * dim,
                .lse_at = index * tokens};
}
static Matrix transposed(Matrix x) { return (Matrix){x.data, x.col, x.row}; }

/* The rows of the tile `t` of x [n, dim]. */
static NextRead tile_of(Matrix x, i64 n, i64 t, i64 tiles, i64 dim) {
  const i64 first = n * t / tiles;
  return (NextRead){matrix_at(x, first, 0), n * (t + 1) / tiles - first, dim};
}

/* Takes `count` floats from *scratch. */
static float *take(float **scratch, i64 count) {
  float *taken = *scratch;
  *scratch += count;
  return taken;
}

/* ---- bias and mask --------------------------------------------------------------------------- */

/* Added to the score of two tokens that the shift has brought together. */
#define MASK -100.0f

/* Windows of window x window tokens, rows down and columns across an image that was shifted. */
typedef struct {
  i64 window, rows, columns, shift;
} Windows;
#define WINDOWS(args) ((Windows){(args)->window, (args)->rows, (args)->columns, (args)->shift})

/* Fills region [N] of window `index`: tokens of different regions are masked. Returns it, or null
 * for a window that has one region only. */
static const i32 *window_regions(Windows of, i64 index, i32 *region) {
  if (of.shift == 0) return 0;
  const i64 cut = of.window - of.shift;
  const i32 last_column = index % of.columns == of.columns - 1;
  const i32 last_row = index / of.columns % of.rows == of.rows - 1;
  if (!last_row && !last_column) return 0;
  for (i64 i = 0; i < of.window; i++) {
    for (i64 j = 0; j < of.window; j++) {
      region[i * of.window + j] = (last_row && i >= cut) + 2 * (last_column && j >= cut);
    }
  }
  return region;
}

/* scores [rows, width] += bias [rows, n], and the mask of the query tokens from `first` on; either
 * may be null. */
static void add_to_scores(float *scores, i64 rows, i64 width, const float *bias, i64 n,
                          const i32 *region, i64 first) {
  for (i64 i = 0; bias && i < rows; i++) {
    float *row = scores + i * width;
    for (i64 j = 0; j < n; j += LANES) {
      vf_put(row + j, vf_take(row + j, n - j) + vf_take(bias + i * n + j, n - j), n - j);
    }
  }
  for (i64 i = 0; region && i < rows; i++) {
    const vi own = vi_splat(region[first + i]);
    float *row = scores + i * width;
    for (i64 j = 0; j < width; j += LANES) {
      const vi apart = vi_load(region + j) != own;
      vf_store(row + j, vf_load(row + j) + vf_select(apart, vf_splat(MASK), vf_zero()));
    }
  }
}

/* ---- forward ------------------------------------------------------------------------------- */

/* Rows of scores whose exponentials are computed in step, a vector of each at a time: so their last,
 * partial vectors share a step too. */
#define EACH_ROWS EACH_VECTORS

/* x = exp(x - shift) for `n` vectors of `rows` rows of scores, zero from lane `count` on; adds to sum
 * the weights, or their products with `factors`, laid out as x, where it is not null. */
ALWAYS_INLINE void exp_vectors(i32 n, i32 rows, float *x, i64 width, const vf *shift, i64 count,
                               const float *factors, vf *sum) {
  const i32 vectors = n / rows;
  vf p[EACH_VECTORS];
#define AT (i / vectors * width + i % vectors * LANES)
  EACH p[i] = vf_load(x + AT) - shift[i / vectors];
  vf_exp_each(n, p, 1);
  /* What lies beyond the tokens is no score: its exponential may be infinite. */
  if (count < LANES) {
    EACH p[i] = vf_fill_rest(p[i], count, 0.0f);
  }
  EACH vf_store(x + AT, p[i]);
  if (factors) {
    EACH sum[i / vectors] = vf_fma(p[i], vf_load(factors + AT), sum[i / vectors]);
  } else {
    EACH sum[i / vectors] += p[i];
  }
#undef AT
}

/* exp_vectors on `rows` rows of n scores; sums[row] = the sum. */
ALWAYS_INLINE void exp_rows(i32 rows, float *x, i64 width, i64 n, const float *shift,
                            const float *factors, float *sums) {
  const i32 step = EACH_VECTORS / rows * LANES;
  vf shifts[EACH_ROWS], sum[EACH_ROWS];
  UNROLL_LOOP for (i32 i = 0; i < rows; i++) shifts[i] = vf_splat(shift[i]), sum[i] = vf_zero();
  i64 j = 0;
  for (; j + step <= n; j += step) {
    exp_vectors(rows * (step / LANES), rows, x + j, width, shifts, LANES, factors ? factors + j : 0,
                sum);
  }
  for (; j < n; j += LANES) {
    exp_vectors(rows, rows, x + j, width, shifts, n - j, factors ? factors + j : 0, sum);
  }
  UNROLL_LOOP for (i32 i = 0; i < rows; i++) sums[i] = vf_sum(sum[i]);
}

/* The same on EACH_ROWS of `rows` rows, or on one where there are fewer; returns on how many. */
static i64 exp_scores(i64 rows, float *x, i64 width, i64 n, const float *shift,
                       const float *factors, float *sums) {
  if (rows < EACH_ROWS) {
    exp_rows(1, x, width, n, shift, factors, sums);
    return 1;
  }
  exp_rows(EACH_ROWS, x, width, n, shift, factors, sums);
  return EACH_ROWS;
}

/* The highest of n scores. */
static float highest_of(const float *scores, i64 n) {
  const i64 whole = n / LANES * LANES, rest = n - whole;
  const float lowest = -__builtin_inff();
  vf top = vf_splat(lowest);
  for (i64 at = 0; at < whole; at += LANES) top = vf_max(vf_load(scores + at), top);
  if (rest) top = vf_max(vf_fill_rest(vf_load(scores + whole), rest, lowest), top);
  return vf_highest(top);
}

static void scale_row(float *y, i64 n, float factor) {
  i64 j = 0;
  for (; j + LANES <= n; j += LANES) vf_store(y + j, vf_load(y + j) * factor);
  if (j < n) vf_store_part(y + j, vf_load_part(y + j, n - j) * factor, n - j);
}

KERNEL(attention) {
  const i64 n = args->tokens, dim = args->head_dim, heads = args->heads;
  const i64 tiles = (n + args->tile - 1) / args->tile, width = round_up(n, LANES);
  const float *qkv = F32(ctx, args->qkv), *bias = F32(ctx, args->bias);
  float *y = F32(ctx, args->y), *lse = F32(ctx, args->lse), *scratch = (float *)ctx->scratch;
  float *keys = take(&scratch, gemm_packed_floats(dim, n));
  float *values = take(&scratch, gemm_packed_floats(n, dim));
  float *scores = take(&scratch, args->tile * width);
  float *sums = take(&scratch, round_up(args->tile, 16));
  i32 *regions = (i32 *)take(&scratch, round_up(n, 16));
  const i32 *region = 0;
  i64 packed = -1;
  Work work = work_of(ctx, args->batch * heads * tiles, tiles);
  for (i64 item; (item = next_item(&work)) >= 0;) {
    i64 index = item / tiles, t = item % tiles;
    i64 first = n * t / tiles, rows = n * (t + 1) / tiles - first;
    Head head = head_at(qkv, index, n, heads, dim);
    const i64 later = likely_unit(&work, item);
    const Head next = head_at(qkv, later < args->batch * heads ? later : index, n, heads, dim);
    const NextRead read_q = t + 1 < tiles ? tile_of(head.q, n, t + 1, tiles, dim)
                                      : tile_of(next.q, n, 0, tiles, dim);
    Prefetch prefetch_k = prefetch_in(tile_of(next.k, n, t, tiles, dim), rows / EACH_ROWS);
    if (index != packed) {
      SUFFIX(gemm_pack)(keys, transposed(head.k), dim, n);
      SUFFIX(gemm_pack)(values, head.v, n, dim);
      region = window_regions(WINDOWS(args), index / heads, regions);
      packed = index;
    }
    SUFFIX(gemm_panels)(rows, width, dim, matrix_at(head.q, first, 0), keys, scores, width,
                        args->scale, 0, read_q, scratch);
    const float *head_bias = bias ? bias + (index % heads * n + first) * n : 0;
    add_to_scores(scores, rows, width, head_bias, n, region, first);
    float *out = y + head.y_at + first * head.y_row, *out_lse = lse + head.lse_at + first;
    for (i64 i = 0; i < rows; i++) out_lse[i] = highest_of(scores + i * width, n);
    for (i64 i = 0; i < rows;) {
      i += exp_scores(rows - i, scores + i * width, width, n, out_lse + i, 0, sums + i);
      prefetch_turn(&prefetch_k);
    }
    for (i64 i = 0; i < rows; i += LANES) {
      const vf sum = vf_take(sums + i, rows - i), highest = vf_take(out_lse + i, rows - i);
      vf_put(out_lse + i, highest + vf_log(sum), rows - i);
      vf_put(sums + i, 1.0f / sum, rows - i);
    }
    SUFFIX(gemm_panels)(rows, dim, n, (Matrix){scores, width, 1}, values, out, head.y_row, 1.0f, 0,
                        tile_of(next.v, n, t, tiles, dim), scratch);
    for (i64 i = 0; i < rows; i++) scale_row(out + i * head.y_row, dim, sums[i]);
  }
}

/* ---- backward ------------------------------------------------------------------------------ */

/* scores becomes P, products (dP) becomes dS; both are rows of n numbers, `width` apart. */
static void score_gradients(float *scores, float *products, i64 rows, i64 width, i64 n,
                            const float *lse, float scale) {
  float means[EACH_ROWS];
  for (i64 done, i = 0; i < rows; i += done) {
    float *row = scores + i * width, *slopes = products + i * width;
    done = exp_scores(rows - i, row, width, n, lse + i, slopes, means);
    for (i64 at = 0; at < done; at++, row += width, slopes += width) {
      const vf mean = vf_splat(means[at]);
      for (i64 j = 0; j < n; j += LANES) {
        vf_store(slopes + j, vf_load(row + j) * (vf_load(slopes + j) - mean) * scale);
      }
    }
  }
}

/* to [rows, n] += from [rows, width], or to = from */
static void add_rows(float *to, const float *from, i64 rows, i64 width, i64 n, i32 accumulate) {
  for (i64 i = 0; i < rows; i++) {
    for (i64 j = 0; j < n; j += LANES) {
      vf x = vf_take(from + i * width + j, n - j);
      if (accumulate) x += vf_take(to + i * n + j, n - j);
      vf_put(to + i * n + j, x, n - j);
    }
  }
}

/* y[count] = scale * sum of partial [chunks, count] over the chunks, in order */
static void add_parts(const Context *ctx, const float *partial, i64 chunks, i64 count, float scale,
                      float *y) {
  i64 begin, end;
  share(ctx, count, GRAIN, &begin, &end);
  for (i64 at = begin; at < end; at += LANES) {
    vf sum = vf_take(partial + at, end - at);
    for (i64 chunk = 1; chunk < chunks; chunk++) {
      sum += vf_take(partial + chunk * count + at, end - at);
    }
    vf_put(y + at, sum * scale, end - at);
  }
}

/* What a thread has for one head at a time. */
typedef struct {
  float *key_columns, *value_columns; /* packed K' and V' */
  float *keys, *queries, *outputs;    /* packed K, and of a tile Q and dY */
  float *scores, *products;
  i32 *regions;
  float *row; /* of gemm_panels */
} Room;

static Room room_in(float *scratch, i64 n, i64 dim, i64 tile) {
  const i64 width = round_up(n, LANES);
  Room room;
  room.key_columns = take(&scratch, gemm_packed_floats(dim, n));
  room.value_columns = take(&scratch, gemm_packed_floats(dim, n));
  room.keys = take(&scratch, gemm_packed_floats(n, dim));
  room.queries = take(&scratch, gemm_packed_floats(tile, dim));
  room.outputs = take(&scratch, gemm_packed_floats(tile, dim));
  room.scores = take(&scratch, tile * width);
  room.products = take(&scratch, tile * width);
  room.regions = (i32 *)take(&scratch, round_up(n, 16));
  room.row = scratch;
  return room;
}

/* Gradients of one head of one image; bias_sum [N, N] takes up scale * dbias unless it is null. */
static void head_gradient(const Context *ctx, const struct attention_grad_args *args, Room room,
                          i64 image, i64 which, i64 later, float *bias_sum, i32 accumulate) {
  const i64 n = args->tokens, dim = args->head_dim, heads = args->heads;
  const i64 tiles = (n + args->tile - 1) / args->tile, width = round_up(n, LANES);
  const float *dy = F32(ctx, args->dy), *lse = F32(ctx, args->lse);
  const float *bias = F32(ctx, args->bias);
  const i32 *region = window_regions(WINDOWS(args), image, room.regions);
  const Head head = head_at(F32(ctx, args->qkv), image * heads + which, n, heads, dim);
  const Head next = head_at(F32(ctx, args->qkv), later, n, heads, dim);
  float *dq = F32(ctx, args->dqkv) + head.qkv_at, *dk = dq + heads * dim, *dv = dk + heads * dim;
  SUFFIX(gemm_pack)(room.key_columns, transposed(head.k), dim, n);
  SUFFIX(gemm_pack)(room.value_columns, transposed(head.v), dim, n);
  SUFFIX(gemm_pack)(room.keys, head.k, n, dim);
  for (i64 t = 0; t < tiles; t++) {
    i64 first = n * t / tiles, rows = n * (t + 1) / tiles - first;
    i64 y_at = head.y_at + first * head.y_row;
    Matrix q = matrix_at(head.q, first, 0), d = {dy + y_at, head.y_row, 1};
    Matrix p = {room.scores, width, 1}, ds = {room.products, width, 1};
    const i32 more = t + 1 < tiles;
    const Matrix next_d = {dy + (more ? head : next).y_at, head.y_row, 1};
    const NextRead read_q = tile_of((more ? head : next).q, n, more ? t + 1 : 0, tiles, dim);
    const NextRead read_d = tile_of(next_d, n, more ? t + 1 : 0, tiles, dim);
    SUFFIX(gemm_panels)(rows, width, dim, q, room.key_columns, room.scores, width, args->scale, 0,
                        read_q, room.row);
    add_to_scores(room.scores, rows, width, bias ? bias + (which * n + first) * n : 0, n, region,
                  first);
    SUFFIX(gemm_panels)(rows, width, dim, d, room.value_columns, room.products, width, 1.0f, 0,
                        read_d, room.row);
    score_gradients(room.scores, room.products, rows, width, n, lse + head.lse_at + first,
                    args->scale);
    if (bias_sum) add_rows(bias_sum + first * n, room.products, rows, width, n, accumulate);
    SUFFIX(gemm_pack)(room.queries, q, rows, dim);
    SUFFIX(gemm_pack)(room.outputs, d, rows, dim);
    SUFFIX(gemm_panels)(rows, dim, n, ds, room.keys, dq + first * head.row, head.row, 1.0f, 0,
                        tile_of(next.k, n, t, tiles, dim), room.row);
    SUFFIX(gemm_panels)(n, dim, rows, transposed(ds), room.queries, dk, head.row, 1.0f, t > 0,
                        tile_of(next.v, n, t, tiles, dim), room.row);
    SUFFIX(gemm_panels)(n, dim, rows, transposed(p), room.outputs, dv, head.row, 1.0f, t > 0,
                        (NextRead){0}, room.row);
  }
}

KERNEL(attention_grad) {
  const i64 batch = args->batch, heads = args->heads, chunks = args->chunks;
  const i64 pairs = (i64)args->tokens * args->tokens;
  float *dbias = F32(ctx, args->dbias), *partial = dbias ? F32(ctx, args->workspace) : 0;
  Room room = room_in((float *)ctx->scratch, args->tokens, args->head_dim, args->tile);
  Work work = work_of(ctx, chunks * heads, 1);
  for (i64 item; (item = next_item(&work)) >= 0;) {
    const i64 chunk = item / heads, first = batch * chunk / chunks;
    const i64 last = batch * (chunk + 1) / chunks, likely = likely_unit(&work, item);
    const i64 after =
        likely < chunks * heads ? batch * (likely / heads) / chunks * heads + likely % heads : 0;
    for (i64 image = first; image < last; image++) {
      const i64 later = image + 1 < last ? (image + 1) * heads + item % heads : after;
      head_gradient(ctx, args, room, image, item % heads, later, partial ? partial + item * pairs : 0,
                    image > first);
    }
  }
  if (!dbias) return;
  SUFFIX(thimble_barrier)(ctx);
  add_parts(ctx, partial, chunks, heads * pairs, 1.0f / args->scale, dbias);
}
