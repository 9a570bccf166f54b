/* eigen.c - eigenvalues and eigenvectors of symmetric matrices, in double.
 *
 *   1. Householder reflections make the matrix tridiagonal, A = Q T Q'. Threads share the rows; the
 *      short vectors of a step are computed by every thread for itself.
 *   2. QL iterations with implicit shifts make T diagonal. Every thread runs them on its own copy
 *      of the two diagonals (O(n^2) work) and applies the rotations to its own columns of the
 *      vectors: no barrier. Rotations of EIGEN_SWEEPS sweeps are applied together to a narrow block
 *      of columns, which stays in the second-level cache.
 *   3. The vectors of T become those of A: each thread reflects its own rows.
 *
 * Off-diagonal elements below the rounding error of the largest element count as zero, so values
 * are accurate relative to the largest one. Source: Golub and Van Loan, Matrix Computations, 4th
 * edition, sections 8.3.1 to 8.3.5.
 */
#include "double.h"
#include "eigen.h"
#include "kernels.h"

#define MAX_ITERATIONS 60
/* Columns of the vectors that rotations go over at a time; rows that are reflected together. */
#define COLUMNS 64
#define ROWS 4

typedef struct {
  i64 size, row;
  double *matrix;  /* [size, row]; row k becomes the reflector of step k */
  double *vectors; /* [size, row], one vector per row; null: values only */
  double *p, *diagonal, *off, *factor;
} Problem;

typedef struct {
  double *v, *w, *diagonal, *off;
  i64 *order;
  double *rotations; /* pairs of cosine and sine */
  i64 *ranges;       /* first row and number of rotations of each sweep */
  i64 sweeps, used;
} Own;

static Problem problem_at(char *memory, i64 size, i32 vectors) {
  const i64 row = eigen_row(size);
  double *at = (double *)memory;
  Problem problem = {.size = size, .row = row, .matrix = at};
  at += size * row;
  if (vectors) {
    problem.vectors = at;
    at += size * row;
  }
  problem.p = at;
  problem.diagonal = at + row;
  problem.off = at + 2 * row;
  problem.factor = at + 3 * row;
  return problem;
}

static Own own_at(char *memory, i64 size) {
  const i64 row = eigen_row(size);
  double *at = (double *)memory;
  return (Own){.v = at,
               .w = at + row,
               .diagonal = at + 2 * row,
               .off = at + 3 * row,
               .order = (i64 *)(at + 4 * row),
               .rotations = at + 5 * row,
               .ranges = (i64 *)(at + (5 + 2 * EIGEN_SWEEPS) * row)};
}

/* ---- tridiagonal form ---------------------------------------------------------------------- */

/* y += a x */
ALWAYS_INLINE void add_scaled(double *y, const double *x, double a, i64 n) {
  const vd factor = vd_splat(a);
  i64 i = 0;
  for (; i + DLANES <= n; i += DLANES) {
    vd_store(y + i, vd_fma(factor, vd_load(x + i), vd_load(y + i)));
  }
  for (; i < n; i++) y[i] += a * x[i];
}

/* y -= a x + b z */
ALWAYS_INLINE void subtract_two(double *y, double a, const double *x, double b, const double *z,
                                i64 n) {
  const vd left = vd_splat(-a), right = vd_splat(-b);
  i64 i = 0;
  for (; i + DLANES <= n; i += DLANES) {
    const vd sum = vd_fma(left, vd_load(x + i), vd_load(y + i));
    vd_store(y + i, vd_fma(right, vd_load(z + i), sum));
  }
  for (; i < n; i++) y[i] -= a * x[i] + b * z[i];
}

/* The upper triangle of a, mirrored. */
static void load_symmetric(const Context *ctx, const Problem *problem, const float *a) {
  const i64 n = problem->size;
  for (i64 i = ctx->thread; i < n; i += ctx->threads) {
    double *row = problem->matrix + i * problem->row;
    for (i64 j = 0; j < i; j++) row[j] = a[j * n + i];
    for (i64 j = i; j < n; j++) row[j] = a[i * n + j];
  }
}

/* Step k: with x = A[k, k+1..n) and v = x - alpha e1, I - f v v' maps x to alpha e1. Leaves v in
 * the thread's own copy; returns f, zero where x is zero already. */
static double reflector(const Problem *problem, const Own *own, i64 k, double *alpha) {
  const i64 rest = problem->size - k - 1;
  const double *x = problem->matrix + k * problem->row + k + 1;
  for (i64 i = 0; i < rest; i++) own->v[i] = x[i];
  const double length = __builtin_sqrt(dot_doubles(x, x, rest));
  *alpha = x[0] > 0 ? -length : length;
  if (!(length > 0)) return 0;
  own->v[0] -= *alpha;
  return 2 / dot_doubles(own->v, own->v, rest);
}

static void tridiagonal(const Context *ctx, const Problem *problem, const Own *own) {
  const i64 n = problem->size, row = problem->row;
  for (i64 k = 0; k + 1 < n; k++) {
    const i64 rest = n - k - 1;
    double *below = problem->matrix + (k + 1) * row + k + 1, alpha;
    const double f = reflector(problem, own, k, &alpha);
    i64 begin, end;
    share(ctx, rest, 1, &begin, &end);
    for (i64 i = begin; i < end; i++) {
      problem->p[i] = f * dot_doubles(below + i * row, own->v, rest);
    }
    SUFFIX(thimble_barrier)(ctx);
    if (ctx->thread == 0) {
      problem->diagonal[k] = problem->matrix[k * row + k];
      problem->off[k] = alpha;
      problem->factor[k] = f;
      for (i64 i = 0; i < rest; i++) problem->matrix[k * row + k + 1 + i] = own->v[i];
    }
    /* A -= v w' + w v' with w = p - (f / 2) (p'v) v */
    const double half = f / 2 * dot_doubles(problem->p, own->v, rest);
    for (i64 i = 0; i < rest; i++) own->w[i] = problem->p[i] - half * own->v[i];
    if (f != 0) {
      for (i64 i = begin; i < end; i++) {
        subtract_two(below + i * row, own->v[i], own->w, own->w[i], own->v, rest);
      }
    }
    SUFFIX(thimble_barrier)(ctx);
  }
  if (ctx->thread == 0) {
    problem->diagonal[n - 1] = problem->matrix[(n - 1) * row + n - 1];
    problem->off[n - 1] = 0;
  }
  SUFFIX(thimble_barrier)(ctx);
}

/* ---- diagonal form ------------------------------------------------------------------------- */

/* Rows i and i + 1 of the vectors, columns [0, n): the rotation (c, s). */
ALWAYS_INLINE void rotate(double *upper, double *lower, double c, double s, i64 n) {
  const vd cosine = vd_splat(c), sine = vd_splat(s), minus = vd_splat(-s);
  i64 j = 0;
  for (; j + DLANES <= n; j += DLANES) {
    const vd x = vd_load(upper + j), y = vd_load(lower + j);
    vd_store(lower + j, vd_fma(sine, x, cosine * y));
    vd_store(upper + j, vd_fma(minus, y, cosine * x));
  }
  for (; j < n; j++) {
    const double x = upper[j], y = lower[j];
    lower[j] = s * x + c * y;
    upper[j] = c * x - s * y;
  }
}

/* Applies the collected sweeps to this thread's columns. */
static void apply_sweeps(const Context *ctx, const Problem *problem, Own *own) {
  i64 begin, end;
  share(ctx, problem->size, 8, &begin, &end);
  for (i64 column = begin; column < end; column += COLUMNS) {
    const i64 count = end - column < COLUMNS ? end - column : COLUMNS;
    const double *rotation = own->rotations;
    for (i64 sweep = 0; sweep < own->sweeps; sweep++) {
      double *at = problem->vectors + own->ranges[2 * sweep] * problem->row + column;
      for (i64 left = own->ranges[2 * sweep + 1]; left > 0; left--) {
        rotate(at, at + problem->row, rotation[0], rotation[1], count);
        rotation += 2;
        at -= problem->row;
      }
    }
  }
  own->sweeps = 0;
  own->used = 0;
}

/* One implicit QL sweep on rows l to m; its rotations go from row m - 1 up. */
static void sweep(Own *own, i64 l, i64 m, i32 keep) {
  double *d = own->diagonal, *e = own->off;
  double g = (d[l + 1] - d[l]) / (2 * e[l]);
  const double r0 = __builtin_sqrt(g * g + 1);
  g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r0 : r0));
  double s = 1, c = 1, p = 0;
  i64 count = 0;
  double *rotation = own->rotations + 2 * own->used;
  i64 i = m - 1;
  for (; i >= l; i--) {
    const double f = s * e[i], b = c * e[i], r = __builtin_sqrt(f * f + g * g);
    e[i + 1] = r;
    if (r == 0) { /* the matrix falls into two parts here */
      d[i + 1] -= p;
      e[m] = 0;
      break;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1] - p;
    const double t = (d[i] - g) * s + 2 * c * b;
    p = s * t;
    d[i + 1] = g + p;
    g = c * t - b;
    rotation[2 * count] = c;
    rotation[2 * count + 1] = s;
    count++;
  }
  if (i < l) {
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
  }
  if (!keep || count == 0) return;
  own->ranges[2 * own->sweeps] = m - 1;
  own->ranges[2 * own->sweeps + 1] = count;
  own->sweeps++;
  own->used += count;
}

static void diagonalise(const Context *ctx, const Problem *problem, Own *own) {
  const i64 n = problem->size;
  double scale = 0;
  for (i64 i = 0; i < n; i++) {
    own->diagonal[i] = problem->diagonal[i];
    own->off[i] = problem->off[i];
    const double size = __builtin_fabs(own->diagonal[i]) + __builtin_fabs(own->off[i]);
    if (size > scale) scale = size;
  }
  const double zero = 0x1p-52 * scale;
  own->sweeps = own->used = 0;
  for (i64 l = 0; l < n; l++) {
    for (i32 iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
      i64 m = l;
      while (m + 1 < n && __builtin_fabs(own->off[m]) > zero) m++;
      if (m == l) break;
      sweep(own, l, m, problem->vectors != 0);
      if (own->sweeps == EIGEN_SWEEPS) apply_sweeps(ctx, problem, own);
    }
  }
  if (problem->vectors) apply_sweeps(ctx, problem, own);
}

/* ---- results ------------------------------------------------------------------------------- */

/* Indices of the values from the largest down; equal ones keep their order. */
static void order_values(Own *own, i64 n) {
  for (i64 i = 0; i < n; i++) {
    i64 at = i;
    for (; at > 0 && own->diagonal[own->order[at - 1]] < own->diagonal[i]; at--) {
      own->order[at] = own->order[at - 1];
    }
    own->order[at] = i;
  }
}

/* `count` rows at `rows` become vectors of the full matrix. */
static void reflect_rows(const Problem *problem, double *const *rows, i64 count) {
  for (i64 k = problem->size - 2; k >= 0; k--) {
    const double f = problem->factor[k];
    const double *v = problem->matrix + k * problem->row + k + 1;
    const i64 rest = problem->size - k - 1;
    if (f == 0) continue;
    for (i64 r = 0; r < count; r++) {
      double *row = rows[r] + k + 1;
      add_scaled(row, v, -f * dot_doubles(row, v, rest), rest);
    }
  }
}

static void store_vector(const double *vector, float *to, i64 n) {
  i64 largest = 0;
  for (i64 i = 1; i < n; i++) {
    if (__builtin_fabs(vector[i]) > __builtin_fabs(vector[largest])) largest = i;
  }
  const double sign = vector[largest] < 0 ? -1 : 1;
  for (i64 i = 0; i < n; i++) to[i] = (float)(sign * vector[i]);
}

static void store_vectors(const Context *ctx, const Problem *problem, const Own *own,
                          float *vectors) {
  const i64 n = problem->size;
  i64 begin, end;
  share(ctx, n, ROWS, &begin, &end);
  for (i64 first = begin; first < end; first += ROWS) {
    const i64 count = end - first < ROWS ? end - first : ROWS;
    double *rows[ROWS];
    for (i64 r = 0; r < count; r++) {
      rows[r] = problem->vectors + own->order[first + r] * problem->row;
    }
    reflect_rows(problem, rows, count);
    for (i64 r = 0; r < count; r++) store_vector(rows[r], vectors + (first + r) * n, n);
  }
}

static void solve(const Context *ctx, const Problem *problem, Own *own, float *values,
                  float *vectors) {
  const i64 n = problem->size;
  if (problem->vectors) {
    for (i64 i = ctx->thread; i < n; i += ctx->threads) {
      double *row = problem->vectors + i * problem->row;
      for (i64 j = 0; j < n; j++) row[j] = i == j;
    }
  }
  tridiagonal(ctx, problem, own);
  diagonalise(ctx, problem, own);
  order_values(own, n);
  if (ctx->thread == 0) {
    for (i64 i = 0; i < n; i++) values[i] = (float)own->diagonal[own->order[i]];
  }
  SUFFIX(thimble_barrier)(ctx);
  if (vectors) store_vectors(ctx, problem, own, vectors);
}

/* a = sum of value[i] vector[i] vector[i]', for each matrix of a batch */
KERNEL(symmetric_eigen) {
  const i64 n = args->size;
  const float *a = F32(ctx, args->a);
  float *values = F32(ctx, args->values), *vectors = F32(ctx, args->vectors);
  const Problem problem = problem_at(operand(ctx, args->workspace), n, vectors != 0);
  Own own = own_at(ctx->scratch, n);
  for (i64 b = 0; b < args->batch; b++) {
    load_symmetric(ctx, &problem, a + b * n * n);
    SUFFIX(thimble_barrier)(ctx);
    solve(ctx, &problem, &own, values + b * n, vectors ? vectors + b * n * n : 0);
    SUFFIX(thimble_barrier)(ctx);
  }
}
