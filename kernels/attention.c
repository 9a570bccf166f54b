/* attention.c - softmax attention over all tokens, forward and backward, one head at a time.
 *
 * Legend: N tokens, H heads, d head_dim; a row of qkv is [3, H, d]; per head Q, K, V, Y are [N, d]
 * and S, P are [N, N].
 *   S = scale Q K'   lse = log(rowsum(exp(S)))   P = exp(S - lse)   Y = P V
 * Backward, with delta = rowsum(dY * Y):
 *   dV = P' dY   dP = dY V'   dS = scale P (dP - delta)   dQ = dS K   dK = dS' Q
 * P is never kept: the backward pass recomputes it from Q, K and lse (Dao et al., FlashAttention,
 * 2022) for `tile` query rows at a time, so a thread holds at most two arrays of tile x N scores.
 * All of a row's scores are there at once, so the softmax is the plain one, without rescaling.
 * dK and dV add up over the query tiles in ascending order, by the one thread that has the head.
 *
 * Measured as in gemm.c, 4 N^2 d flops a head forward and 10 N^2 d backward, GFLOP/s:
 *   batch x N x H x d (tile)    AVX-512      AVX2         SSE2         wasm
 *   8 x 197 x 3 x 64 (64)        94 / 110    57 / 66      21 / 24      24 / 26
 *   8 x 50 x 12 x 64 (50)        63 /  80    46 / 54      19 / 21      20 / 23
 *   16 x 65 x 4 x 32 (65)        61 /  89    42 / 55      18 / 21      19 / 23
 */
#include "attention.h"
#include "gemm.h"
#include "kernels.h"
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
static Matrix rows_from(Matrix x, i64 first) {
  return (Matrix){x.data + first * x.row, x.row, x.col};
}

/* Takes `count` floats from *scratch. */
static float *take(float **scratch, i64 count) {
  float *taken = *scratch;
  *scratch += count;
  return taken;
}

/* ---- forward ------------------------------------------------------------------------------- */

/* scores[0 .. round_up(n, LANES)) = exp(scores - max), zeros beyond n; returns the sum. */
static float exp_row(float *scores, i64 n, float *highest) {
  i64 whole = n / LANES * LANES, rest = n - whole;
  const float lowest = -__builtin_inff();
  vf top = vf_splat(lowest), sum = {0};
  for (i64 j = 0; j < whole; j += LANES) top = vf_max(vf_load(scores + j), top);
  if (rest) top = vf_max(vf_fill_rest(vf_load(scores + whole), rest, lowest), top);
  *highest = vf_highest(top);
  vf shift = vf_splat(*highest);
  for (i64 j = 0; j < whole; j += LANES) {
    vf p = vf_exp(vf_load(scores + j) - shift);
    vf_store(scores + j, p);
    sum += p;
  }
  if (rest) {
    vf p = vf_fill_rest(vf_exp(vf_load(scores + whole) - shift), rest, 0.0f);
    vf_store(scores + whole, p);
    sum += p;
  }
  return vf_sum(sum);
}

static void scale_row(float *y, i64 n, float factor) {
  i64 j = 0;
  for (; j + LANES <= n; j += LANES) vf_store(y + j, vf_load(y + j) * factor);
  if (j < n) vf_store_part(y + j, vf_load_part(y + j, n - j) * factor, n - j);
}

KERNEL(attention) {
  const i64 n = args->tokens, dim = args->head_dim, heads = args->heads;
  const i64 tiles = (n + args->tile - 1) / args->tile, width = round_up(n, LANES);
  const float *qkv = F32(ctx, args->qkv);
  float *y = F32(ctx, args->y), *lse = F32(ctx, args->lse), *scratch = (float *)ctx->scratch;
  float *keys = take(&scratch, gemm_packed_floats(dim, n));
  float *values = take(&scratch, gemm_packed_floats(n, dim));
  float *scores = take(&scratch, args->tile * width);
  float *sums = take(&scratch, round_up(args->tile, 16));
  i64 item, end, packed = -1;
  share(ctx, args->batch * heads * tiles, 1, &item, &end);
  for (; item < end; item++) {
    i64 index = item / tiles, t = item % tiles;
    i64 first = n * t / tiles, rows = n * (t + 1) / tiles - first;
    Head head = head_at(qkv, index, n, heads, dim);
    if (index != packed) {
      SUFFIX(gemm_pack)(keys, transposed(head.k), dim, n);
      SUFFIX(gemm_pack)(values, head.v, n, dim);
      packed = index;
    }
    SUFFIX(gemm_panels)(rows, width, dim, rows_from(head.q, first), keys, scores, width,
                        args->scale, 0, scratch);
    float *out = y + head.y_at + first * head.y_row, *out_lse = lse + head.lse_at + first;
    for (i64 i = 0; i < rows; i++) {
      float highest;
      sums[i] = exp_row(scores + i * width, n, &highest);
      out_lse[i] = highest + log_scalar(sums[i]);
    }
    SUFFIX(gemm_panels)(rows, dim, n, (Matrix){scores, width, 1}, values, out, head.y_row, 1.0f, 0,
                        scratch);
    for (i64 i = 0; i < rows; i++) scale_row(out + i * head.y_row, dim, 1.0f / sums[i]);
  }
}

/* ---- backward ------------------------------------------------------------------------------ */

/* scores becomes P, products (dY V') becomes dS; both are [rows, width]. */
static void score_gradients(float *scores, float *products, i64 rows, i64 width, const float *lse,
                            const float *delta, float scale) {
  for (i64 i = 0; i < rows; i++) {
    vf shift = vf_splat(lse[i]), mean = vf_splat(delta[i]);
    for (i64 j = i * width; j < (i + 1) * width; j += LANES) {
      vf p = vf_exp(vf_load(scores + j) - shift);
      vf_store(scores + j, p);
      vf_store(products + j, p * (vf_load(products + j) - mean) * scale);
    }
  }
}

static float dot(const float *a, const float *b, i64 n) {
  vf sum = {0};
  i64 i = 0;
  for (; i + LANES <= n; i += LANES) sum = vf_fma(vf_load(a + i), vf_load(b + i), sum);
  if (i < n) sum = vf_fma(vf_load_part(a + i, n - i), vf_load_part(b + i, n - i), sum);
  return vf_sum(sum);
}

KERNEL(attention_grad) {
  const i64 n = args->tokens, dim = args->head_dim, heads = args->heads;
  const i64 tiles = (n + args->tile - 1) / args->tile, width = round_up(n, LANES);
  const float *y = F32(ctx, args->y), *dy = F32(ctx, args->dy), *lse = F32(ctx, args->lse);
  float *dqkv = F32(ctx, args->dqkv), *scratch = (float *)ctx->scratch;
  float *key_columns = take(&scratch, gemm_packed_floats(dim, n));   /* K' */
  float *value_columns = take(&scratch, gemm_packed_floats(dim, n)); /* V' */
  float *keys = take(&scratch, gemm_packed_floats(n, dim));
  float *queries = take(&scratch, gemm_packed_floats(args->tile, dim));
  float *outputs = take(&scratch, gemm_packed_floats(args->tile, dim)); /* dY */
  float *scores = take(&scratch, args->tile * width);
  float *products = take(&scratch, args->tile * width);
  float *delta = take(&scratch, round_up(args->tile, 16));
  i64 index, end;
  share(ctx, args->batch * heads, 1, &index, &end);
  for (; index < end; index++) {
    Head head = head_at(F32(ctx, args->qkv), index, n, heads, dim);
    float *dq = dqkv + head.qkv_at, *dk = dq + heads * dim, *dv = dk + heads * dim;
    SUFFIX(gemm_pack)(key_columns, transposed(head.k), dim, n);
    SUFFIX(gemm_pack)(value_columns, transposed(head.v), dim, n);
    SUFFIX(gemm_pack)(keys, head.k, n, dim);
    for (i64 t = 0; t < tiles; t++) {
      i64 first = n * t / tiles, rows = n * (t + 1) / tiles - first;
      i64 y_at = head.y_at + first * head.y_row;
      Matrix q = rows_from(head.q, first), d = {dy + y_at, head.y_row, 1};
      Matrix p = {scores, width, 1}, ds = {products, width, 1};
      for (i64 i = 0; i < rows; i++) {
        delta[i] = dot(d.data + i * d.row, y + y_at + i * d.row, dim);
      }
      SUFFIX(gemm_panels)(rows, width, dim, q, key_columns, scores, width, args->scale, 0, scratch);
      SUFFIX(gemm_panels)(rows, width, dim, d, value_columns, products, width, 1.0f, 0, scratch);
      score_gradients(scores, products, rows, width, lse + head.lse_at + first, delta, args->scale);
      SUFFIX(gemm_pack)(queries, q, rows, dim);
      SUFFIX(gemm_pack)(outputs, d, rows, dim);
      SUFFIX(gemm_panels)(rows, dim, n, ds, keys, dq + first * head.row, head.row, 1.0f, 0,
                          scratch);
      SUFFIX(gemm_panels)(n, dim, rows, transposed(ds), queries, dk, head.row, 1.0f, t > 0,
                          scratch);
      SUFFIX(gemm_panels)(n, dim, rows, transposed(p), outputs, dv, head.row, 1.0f, t > 0, scratch);
    }
  }
}
