/* channels.c - moving and scaling channels: images with channels first to channels last and back, kernels of
 * convolutions likewise, tensors side by side along the channels and parts of one, a factor for each channel of an
 * image and its gradient.
 */
#include "kernels.h"
#include "loop.h"

/* Side of the tiles in which a matrix is transposed: two of them stay in the first-level cache. */
#define TILE_SIDE 64

ALWAYS_INLINE i64 least(i64 a, i64 b) { return a < b ? a : b; }

/* y [B, cols, rows] = x [B, rows, cols], both transposed */
KERNEL(channels_last) {
  const i64 rows = args->rows, cols = args->cols;
  const i64 down = (rows + TILE_SIDE - 1) / TILE_SIDE, across = (cols + TILE_SIDE - 1) / TILE_SIDE;
  i64 begin, end;
  share(ctx, args->batch * down * across, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 image = item / (down * across) * rows * cols;
    const i64 top = item / across % down * TILE_SIDE, left = item % across * TILE_SIDE;
    const i64 bottom = least(top + TILE_SIDE, rows), right = least(left + TILE_SIDE, cols);
    const float *x = F32(ctx, args->x) + image;
    float *y = F32(ctx, args->y) + image;
    for (i64 column = left; column < right; column++) {
      for (i64 row = top; row < bottom; row++) y[column * rows + row] = x[row * cols + column];
    }
  }
}

/* Outputs of a tile of kernels: a column of it is two cache lines of the result. */
#define TILE_ROWS 32

/* A tile of the matrix [O, I taps] that kernels are: `rows` of them from `top` on, columns [left, right). */
typedef struct {
  i64 top, rows, left, right;
} Tile;

/* Where the column of the input `column / taps` at the tap `column % taps` begins in [taps, I, O]. */
ALWAYS_INLINE i64 column_start(const struct hwio_args *args, i64 column) {
  return (column % args->taps * args->inputs + column / args->taps) * args->outputs;
}

/* y [taps, I, O] = x [O, I, taps]; what is read along rows is written along columns through a block in the cache. */
ALWAYS_INLINE void outputs_last(const struct hwio_args *args, const float *x, float *y, Tile tile) {
  const i64 cols = (i64)args->inputs * args->taps, width = tile.right - tile.left;
  float block[TILE_ROWS * TILE_SIDE];
  for (i64 row = 0; row < tile.rows; row++) {
    copy_floats(block + row * TILE_SIDE, x + (tile.top + row) * cols + tile.left, width);
  }
  for (i64 column = 0; column < width; column++) {
    float *line = y + column_start(args, tile.left + column) + tile.top;
    for (i64 row = 0; row < tile.rows; row++) line[row] = block[row * TILE_SIDE + column];
  }
}

/* x [O, I, taps] of y [taps, I, O] */
ALWAYS_INLINE void outputs_first(const struct hwio_args *args, const float *y, float *x, Tile tile) {
  const i64 cols = (i64)args->inputs * args->taps, width = tile.right - tile.left;
  float block[TILE_ROWS * TILE_SIDE];
  for (i64 column = 0; column < width; column++) {
    const float *line = y + column_start(args, tile.left + column) + tile.top;
    for (i64 row = 0; row < tile.rows; row++) block[row * TILE_SIDE + column] = line[row];
  }
  for (i64 row = 0; row < tile.rows; row++) {
    copy_floats(x + (tile.top + row) * cols + tile.left, block + row * TILE_SIDE, width);
  }
}

/* Kernels [O, I, taps] as [taps, I, O], or back: a matrix that is transposed, with its columns in another order. */
KERNEL(hwio) {
  const i64 rows = args->outputs, cols = (i64)args->inputs * args->taps;
  const i64 down = (rows + TILE_ROWS - 1) / TILE_ROWS, across = (cols + TILE_SIDE - 1) / TILE_SIDE;
  i64 begin, end;
  share(ctx, down * across, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 top = item / across * TILE_ROWS, left = item % across * TILE_SIDE;
    const Tile tile = {top, least(TILE_ROWS, rows - top), left, least(left + TILE_SIDE, cols)};
    if (args->inverse) outputs_first(args, F32(ctx, args->x), F32(ctx, args->y), tile);
    else outputs_last(args, F32(ctx, args->x), F32(ctx, args->y), tile);
  }
}

/* Rows of `cols` floats that a thread takes at least. */
ALWAYS_INLINE i64 rows_grain(i64 cols) { return 1 + GRAIN / cols; }

/* y [rows, A + B] = a [rows, A] beside b [rows, B] */
KERNEL(concat_channels) {
  const i64 first = args->cols_a, second = args->cols_b;
  const float *a = F32(ctx, args->a), *b = F32(ctx, args->b);
  i64 begin, end;
  share(ctx, args->rows, rows_grain(first + second), &begin, &end);
  for (i64 row = begin; row < end; row++) {
    float *y = F32(ctx, args->y) + row * (first + second);
    copy_floats(y, a + row * first, first);
    copy_floats(y + first, b + row * second, second);
  }
}

/* y [rows, count] = x [rows, cols] from column `start` on */
KERNEL(slice_channels) {
  const float *x = F32(ctx, args->x) + args->start;
  i64 begin, end;
  share(ctx, args->rows, rows_grain(args->count), &begin, &end);
  for (i64 row = begin; row < end; row++) {
    copy_floats(F32(ctx, args->y) + row * args->count, x + row * args->cols, args->count);
  }
}

typedef struct {
  const float *x, *s;
  float *y;
} Scaling;

ALWAYS_INLINE void scale_vector(const Scaling *on, i64 i, i64 count) {
  vf_put_next(on->y + i, vf_take_next(on->x + i, count) * vf_take(on->s + i, count), count);
}

/* y [B, HW, C] = x [B, HW, C] times s [B, C] */
KERNEL(scale_channels) {
  const i64 channels = args->channels;
  i64 begin, end;
  share(ctx, (i64)args->batch * args->pixels, rows_grain(channels), &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const Scaling on = {F32(ctx, args->x) + row * channels, F32(ctx, args->s) + row / args->pixels * channels,
                        F32(ctx, args->y) + row * channels};
    FOR_VECTORS(0, channels, scale_vector, &on);
  }
}

/* Neighbouring pixels of an image, `channels` floats apart. */
typedef struct {
  const float *x, *dy, *s;
  float *ds, *dx; /* dx and s: null where it is not wanted */
  i64 channels;
} Pixels;

/* Adds n pixels to the sums. */
ALWAYS_INLINE void add_pixels(i32 n, const Pixels *on, i64 i, i64 count) {
  vf sum = vf_zero();
  const vf s = on->dx ? vf_take(on->s + i, count) : vf_zero();
  UNROLL_LOOP for (i32 pixel = 0; pixel < n; pixel++) {
    const i64 at = pixel * on->channels + i;
    const vf x = vf_take_next(on->x + at, count), dy = vf_take_next(on->dy + at, count);
    sum = vf_fma(x, dy, sum);
    if (on->dx) vf_put_next(on->dx + at, dy * s, count);
  }
  vf_put(on->ds + i, vf_take(on->ds + i, count) + sum, count);
}
ALWAYS_INLINE void add_some(const Pixels *on, i64 i, i64 count) { add_pixels(SUM_ROWS, on, i, count); }
ALWAYS_INLINE void add_one(const Pixels *on, i64 i, i64 count) { add_pixels(1, on, i, count); }

/* ds [B, C] = the sum of x dy over an image's pixels, SUM_ROWS of them at a time, and dx = dy s. A sum has the same
 * order in whatever part of the channels it is: threads may share an image's. */
KERNEL(scale_channels_grad) {
  const i64 channels = args->channels, lines = (channels + 15) / 16;
  const i64 wanted = (4 * ctx->threads + args->batch - 1) / args->batch, parts = least(wanted, lines);
  i64 begin, end;
  share(ctx, args->batch * parts, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 image = item / parts, part = item % parts;
    const i64 first = lines * part / parts * 16, last = least(lines * (part + 1) / parts * 16, channels);
    Pixels on = {F32(ctx, args->x), F32(ctx, args->dy), F32(ctx, args->s), F32(ctx, args->ds),
                 F32(ctx, args->dx), channels};
    on.x += image * args->pixels * channels;
    on.dy += image * args->pixels * channels;
    if (on.dx) on.dx += image * args->pixels * channels;
    if (on.dx) on.s += image * channels;
    on.ds += image * channels;
    fill_floats(on.ds + first, 0, last - first);
    for (i64 pixel = 0; pixel < args->pixels;) {
      const i32 some = pixel + SUM_ROWS <= args->pixels;
      if (some) FOR_VECTORS(first, last, add_some, &on);
      else FOR_VECTORS(first, last, add_one, &on);
      const i64 step = some ? SUM_ROWS : 1;
      pixel += step;
      on.x += step * channels;
      on.dy += step * channels;
      if (on.dx) on.dx += step * channels;
    }
  }
}
