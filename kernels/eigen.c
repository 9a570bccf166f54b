/* eigen.c - eigenvalues and eigenvectors of symmetric matrices, in double.
 *
 * A = Q T Q' with T tridiagonal (Householder), T = W L W' by the implicit QL iteration; the rows of
 * (Q W)' are the eigenvectors.
 *   Tridiagonal: row k gives the reflector I - tau v v', and with y = A v,
 *     p = tau y,  w = p - (tau / 2)(p'v) v,  A - v w' - w v'  is the next matrix.
 *   One pass over the matrix applies the update of the last step and takes y of this one, so there
 *   is one barrier for each row. Everything that is as long as a row is computed by every thread
 *   for itself.
 *   Vectors: (Q W)' in panels of columns that stay in the second-level cache. A thread takes its
 *   panels through all reflectors, then through the rotations of the QL iteration, which every
 *   thread of the team computes for itself, in batches: two rows of numbers, next to nothing.
 * A batch of small matrices is spread over the threads; a large one has all threads as its team.
 * Either way the order of operations is the same.
 * Off-diagonal elements below the rounding of T's largest element count as zero, so values are
 * accurate relative to the largest one.
 * Milliseconds on one core of a loaded 2-core Xeon, thread CPU time, with vectors / values only:
 *             AVX-512      AVX2        SSE2
 *   n = 197     3 / 2       4 / 2       7 / 2
 *   n = 768   193 / 63    209 / 59    343 / 74
 *   n = 1024  465         510         843
 * Reference: Golub and Van Loan, "Matrix Computations", 4th edition, 8.3.
 */
#include "double.h"
#include "eigen.h"
#include "kernels.h"

/* Columns of a panel: four vectors, chains that are independent of one another. */
#define PANEL_VECTORS 4
#define PANEL (PANEL_VECTORS * DLANES)
/* Rows of the matrix that one thread updates at a time, and owns at least. */
#define ROWS 4
#define OWNED_ROWS 8
/* Up to this extent one thread is enough for a matrix. */
#define ALONE 96
/* QL sweeps for each eigenvalue before the iteration gives up: two or three are usual. */
#define MOST_SWEEPS 60

/* A matrix at work. In the arena, for all threads of the team: */
typedef struct {
  i64 size, ld;
  double *a;                  /* [size, ld]: the matrix; row k ends as the reflector of step k */
  double *diagonal, *beside;  /* [size]: T */
  double *tau, *products[2];  /* [size]: of each reflector; y of this step and of the last */
  double *panels;             /* [panels, size, PANEL]; null when only values are wanted */
} Symmetric;

/* For each thread: */
typedef struct {
  double *reflector, *update, *next; /* v and w of the last step, v of this one; [ld] */
  double *row;                       /* [ld] */
  double *diagonal, *beside;         /* [ld]: T on its way to the eigenvalues */
  i32 *order;                        /* [size]: rows of the result, largest value first */
  double *rotations;                 /* [EIGEN_ROTATIONS, 2] */
} Private;

static Symmetric matrix_at(char *memory, i64 size, i32 with_vectors) {
  const i64 ld = eigen_row(size);
  double *a = (double *)memory, *rest = a + size * ld;
  return (Symmetric){size, ld, a, rest, rest + ld, rest + 2 * ld, {rest + 3 * ld, rest + 4 * ld},
                  with_vectors ? rest + 5 * ld : 0};
}

static Private private_at(char *memory, i64 size) {
  const i64 ld = eigen_row(size);
  double *rows = (double *)memory, *order = rows + 6 * ld;
  return (Private){rows, rows + ld, rows + 2 * ld, rows + 3 * ld, rows + 4 * ld, rows + 5 * ld,
                   (i32 *)order, order + ld};
}

/* ---- tridiagonal form ---------------------------------------------------------------------- */

/* Rows i .. i + rows: a -= v w' + w v' from column `from` on, y = a next. */
ALWAYS_INLINE void update_rows(const Symmetric *m, const Private *own, i64 i, i32 rows, i64 from,
                               double *y) {
  vd sum[ROWS], v[ROWS], w[ROWS];
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
    sum[r] = (vd){0};
    v[r] = vd_splat(-own->reflector[i + r]);
    w[r] = vd_splat(-own->update[i + r]);
  }
  for (i64 j = from; j < m->ld; j += DLANES) {
    const vd along_v = vd_load(own->reflector + j), along_w = vd_load(own->update + j);
    const vd next = vd_load(own->next + j);
    UNROLL_LOOP for (i32 r = 0; r < rows; r++) {
      double *at = m->a + (i + r) * m->ld + j;
      const vd x = vd_fma(v[r], along_w, vd_fma(w[r], along_v, vd_load(at)));
      vd_store(at, x);
      sum[r] = vd_fma(x, next, sum[r]);
    }
  }
  UNROLL_LOOP for (i32 r = 0; r < rows; r++) y[i + r] = vd_sum(sum[r]);
}

/* This thread's rows from `first` on. */
static void update_matrix(const Context *team, const Symmetric *m, const Private *own, i64 first,
                          double *y) {
  const i64 from = first / DLANES * DLANES;
  for (i64 block = first / OWNED_ROWS; block * OWNED_ROWS < m->size; block++) {
    if (block % team->threads != team->thread) continue;
    const i64 begin = block * OWNED_ROWS, last = begin + OWNED_ROWS;
    const i64 end = last < m->size ? last : m->size;
    i64 i = begin > first ? begin : first;
    for (; i + ROWS <= end; i += ROWS) update_rows(m, own, i, ROWS, from, y);
    for (; i < end; i++) update_rows(m, own, i, 1, from, y);
  }
}

/* next = v, with v[k + 1] = 1 and zeros before, of the reflector that clears row[k + 2 ..];
 * returns tau and the element that stays. */
static double reflect(const double *row, i64 k, i64 size, double *next, double *stays) {
  const i64 first = k + 1;
  const double lead = row[first];
  double rest = 0;
  for (i64 j = first + 1; j < size; j++) rest += row[j] * row[j];
  for (i64 j = 0; j < size; j++) next[j] = 0;
  *stays = lead;
  if (rest == 0) return 0;
  const double length = __builtin_sqrt(lead * lead + rest);
  *stays = lead > 0 ? -length : length;
  const double scale = 1 / (lead - *stays);
  next[first] = 1;
  for (i64 j = first + 1; j < size; j++) next[j] = row[j] * scale;
  return (*stays - lead) / *stays;
}

static void tridiagonalise(const Context *team, const Symmetric *m, Private *own) {
  const i64 size = m->size;
  for (i64 j = 0; j < m->ld; j++) {
    own->reflector[j] = own->update[j] = own->next[j] = own->row[j] = 0;
  }
  for (i64 k = 0; k < size; k++) {
    double *y = m->products[k & 1], stays = 0;
    const double v = own->reflector[k], w = own->update[k];
    for (i64 j = k; j < size; j++) {
      own->row[j] = m->a[k * m->ld + j] - v * own->update[j] - w * own->reflector[j];
    }
    const double tau = k + 1 < size ? reflect(own->row, k, size, own->next, &stays) : 0;
    if (team->thread == 0) {
      m->diagonal[k] = own->row[k];
      m->beside[k] = stays;
      m->tau[k] = tau;
    }
    if (k + 1 < size) update_matrix(team, m, own, k + 1, y);
    SUFFIX(thimble_barrier)(team);
    double along = 0;
    for (i64 j = k + 1; j < size; j++) along += y[j] * own->next[j];
    for (i64 j = 0; j < size; j++) {
      own->update[j] = j > k ? tau * (y[j] - 0.5 * tau * along * own->next[j]) : 0;
    }
    if (team->thread == 0) {
      for (i64 j = k + 1; j < size; j++) m->a[k * m->ld + j] = own->next[j];
    }
    double *last = own->reflector;
    own->reflector = own->next;
    own->next = last;
  }
  SUFFIX(thimble_barrier)(team);
}

/* ---- panels of vectors --------------------------------------------------------------------- */

/* Columns `column` .. of Q': the reflectors on those of the identity, each with the sums of the
 * next one in one pass. */
static void reflect_panel(const Symmetric *m, i64 column, double *panel) {
  const i64 size = m->size;
  vd sums[PANEL_VECTORS];
  for (i64 i = 0; i < size; i++) {
    for (i64 j = 0; j < PANEL; j++) panel[i * PANEL + j] = i == column + j;
  }
  UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) sums[v] = (vd){0};
  for (i64 j = 0; j < PANEL && column + j < size; j++) {
    if (column + j > 0) sums[j / DLANES][j % DLANES] = m->a[column + j];
  }
  for (i64 k = 0; k + 1 < size; k++) {
    const double *on = m->a + k * m->ld, *after = on + m->ld;
    vd next[PANEL_VECTORS];
    UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) {
      sums[v] *= -m->tau[k];
      next[v] = (vd){0};
    }
    for (i64 i = k + 1; i < size; i++) {
      const vd factor = vd_splat(on[i]), share = vd_splat(i > k + 1 ? after[i] : 0);
      UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) {
        double *at = panel + i * PANEL + v * DLANES;
        const vd x = vd_fma(factor, sums[v], vd_load(at));
        vd_store(at, x);
        next[v] = vd_fma(share, x, next[v]);
      }
    }
    UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) sums[v] = next[v];
  }
}

/* Sweeps of rotations on the rows of a panel. A sweep is {first row, last row} and, from the first
 * row i down to the one behind the last, {c, s}: rows i - 1 and i become c (i - 1) - s i and
 * s (i - 1) + c i. */
static void rotate_panel(const double *rotations, i64 count, double *panel) {
  const double *end = rotations + 2 * count;
  while (rotations < end) {
    i64 i = (i64)rotations[0];
    const i64 last = (i64)rotations[1];
    vd carry[PANEL_VECTORS];
    UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) {
      carry[v] = vd_load(panel + i * PANEL + v * DLANES);
    }
    for (rotations += 2; i > last; i--, rotations += 2) {
      const vd c = vd_splat(rotations[0]), s = vd_splat(rotations[1]);
      UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) {
        double *at = panel + i * PANEL + v * DLANES;
        const vd below = vd_load(at - PANEL);
        vd_store(at, vd_fma(s, below, c * carry[v]));
        carry[v] = vd_fma(c, below, -(s * carry[v]));
      }
    }
    UNROLL_LOOP for (i32 v = 0; v < PANEL_VECTORS; v++) {
      vd_store(panel + last * PANEL + v * DLANES, carry[v]);
    }
  }
}

static void rotate_panels(const Context *team, const Symmetric *m, const Private *own, i64 count) {
  for (i64 panel = team->thread; panel * PANEL < m->size; panel += team->threads) {
    rotate_panel(own->rotations, count, m->panels + panel * PANEL * m->size);
  }
}

/* ---- QL iteration -------------------------------------------------------------------------- */

/* One implicit QL sweep with Wilkinson's shift over rows [low, high] of T; returns how many entries
 * it wrote to `out`. */
static i64 sweep(double *d, double *e, i64 low, i64 high, double *out) {
  double shift = (d[low + 1] - d[low]) / (2 * e[low]);
  const double root = __builtin_sqrt(shift * shift + 1);
  shift = d[high] - d[low] + e[low] / (shift + (shift < 0 ? -root : root));
  double c = 1, s = 1, moved = 0, bulge = shift;
  i64 i = high, count = 1;
  while (--i >= low) {
    const double f = s * e[i], b = c * e[i], r = __builtin_sqrt(f * f + bulge * bulge);
    e[i + 1] = r;
    if (r == 0) break;
    s = f / r;
    c = bulge / r;
    const double g = d[i + 1] - moved, t = (d[i] - g) * s + 2 * c * b;
    moved = s * t;
    d[i + 1] = g + moved;
    bulge = c * t - b;
    out[2 * count] = c;
    out[2 * count + 1] = s;
    count++;
  }
  d[i < low ? low : i + 1] -= moved;
  if (i < low) e[low] = bulge;
  e[high] = 0;
  out[0] = (double)high;
  out[1] = (double)(i < low ? low : i + 1);
  return count;
}

/* Diagonalises T, taking the team's panels along. */
static void iterate(const Context *team, const Symmetric *m, const Private *own) {
  const i64 size = m->size;
  double *d = own->diagonal, *e = own->beside, largest = 0, total = 0;
  i64 count = 0, sweeps = 0;
  for (i64 i = 0; i < size; i++) {
    d[i] = m->diagonal[i];
    e[i] = m->beside[i];
    const double length = __builtin_fabs(d[i]) + 2 * __builtin_fabs(e[i]);
    if (length > largest) largest = length;
    total += length;
  }
  if (!(total < __builtin_inf())) {
    for (i64 i = 0; i < size; i++) d[i] = __builtin_nan("");
    return;
  }
  const double negligible = largest * 0x1p-53;
  for (i64 low = 0; low < size; low++) {
    while (sweeps < MOST_SWEEPS * size) {
      i64 high = low;
      while (high + 1 < size && !(__builtin_fabs(e[high]) <= negligible)) high++;
      if (high == low) break;
      if (count + size > EIGEN_ROTATIONS) {
        if (m->panels) rotate_panels(team, m, own, count);
        count = 0;
      }
      count += sweep(d, e, low, high, own->rotations + 2 * count);
      if (!m->panels) count = 0;
      sweeps++;
    }
  }
  if (m->panels) rotate_panels(team, m, own, count);
}

/* ---- the step ------------------------------------------------------------------------------ */

static void load(const Context *team, const Symmetric *m, const float *a) {
  for (i64 i = team->thread; i < m->size; i += team->threads) {
    double *row = m->a + i * m->ld;
    for (i64 j = 0; j < i; j++) row[j] = a[j * m->size + i];
    for (i64 j = i; j < m->size; j++) row[j] = a[i * m->size + j];
    for (i64 j = m->size; j < m->ld; j++) row[j] = 0;
  }
}

/* Largest first; equal ones as they come. */
static void sort(const double *values, i64 size, i32 *order) {
  for (i64 i = 0; i < size; i++) {
    i64 at = i;
    for (; at > 0 && values[order[at - 1]] < values[i]; at--) order[at] = order[at - 1];
    order[at] = (i32)i;
  }
}

/* vector [size] = row `from` of the panels, its largest element positive. */
static void store_vector(const Symmetric *m, i64 from, float *vector) {
  double largest = 0;
  for (i64 j = 0; j < m->size; j++) {
    const double x = m->panels[j / PANEL * PANEL * m->size + from * PANEL + j % PANEL];
    if (__builtin_fabs(x) > __builtin_fabs(largest)) largest = x;
    vector[j] = (float)x;
  }
  for (i64 j = 0; largest < 0 && j < m->size; j++) vector[j] = -vector[j];
}

static void decompose(const Context *team, const Symmetric *m, const float *a, float *values,
                      float *vectors) {
  Private own = private_at(team->scratch, m->size);
  load(team, m, a);
  SUFFIX(thimble_barrier)(team);
  tridiagonalise(team, m, &own);
  for (i64 panel = team->thread; vectors && panel * PANEL < m->size; panel += team->threads) {
    reflect_panel(m, panel * PANEL, m->panels + panel * PANEL * m->size);
  }
  iterate(team, m, &own);
  sort(own.diagonal, m->size, own.order);
  if (team->thread == 0) {
    for (i64 i = 0; i < m->size; i++) values[i] = (float)own.diagonal[own.order[i]];
  }
  SUFFIX(thimble_barrier)(team);
  for (i64 i = team->thread; vectors && i < m->size; i += team->threads) {
    store_vector(m, own.order[i], vectors + i * m->size);
  }
}

/* a = vectors' diag(values) vectors, for each matrix of the batch; vectors may be absent */
KERNEL(symmetric_eigen) {
  const i64 batch = args->batch, size = args->size, slots = eigen_slots(batch, size);
  const float *a = F32(ctx, args->a);
  float *values = F32(ctx, args->values), *vectors = F32(ctx, args->vectors);
  char *memory = operand(ctx, args->workspace);
  const i64 bytes = eigen_matrix_bytes(size, vectors ? 1 : 0);
  Context team = *ctx;
  if (slots > 1 || size <= ALONE) team.thread = 0, team.threads = 1;
  const i64 step = team.threads > 1 ? 1 : ctx->threads;
  for (i64 slot = team.threads > 1 ? 0 : ctx->thread; slot < slots; slot += step) {
    const Symmetric matrix = matrix_at(memory + slot * bytes, size, vectors != 0);
    for (i64 at = slot; at < batch; at += slots) {
      decompose(&team, &matrix, a + at * size * size, values + at * size,
                vectors ? vectors + at * size * size : 0);
      SUFFIX(thimble_barrier)(&team);
    }
  }
}
