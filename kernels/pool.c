/* pool.c - max and average pooling of images in NHWC and their gradients: loops along the channels of a pixel.
 *
 * Both directions gather, so that an output element is written once, by one thread, from its terms in the order
 * of the windows' (or the image's) rows and columns.
 */
#include "bytes.h"
#include "kernels.h"
#include "loop.h"

typedef struct {
  i64 height, width, channels, out_height, out_width, kernel, stride, top, left;
} Pool;

/* The sizes of the arguments of any of the four ops. */
#define POOL_OF(args)                                                                                 \
  ((Pool){(args)->height, (args)->width, (args)->channels, (args)->out_height, (args)->out_width,     \
          (args)->kernel, (args)->stride, (args)->pad_top, (args)->pad_left})

/* Whole numbers from `first` to `end` - 1. */
typedef struct {
  i64 first, end;
} Range;

ALWAYS_INLINE Range within(i64 first, i64 end, i64 extent) {
  return (Range){first > 0 ? first : 0, end < extent ? end : extent};
}

/* The pixels, of `extent` along an axis, under the window that is `at` windows from the first. */
ALWAYS_INLINE Range pixels_of(const Pool *pool, i64 at, i64 pad, i64 extent) {
  return within(at * pool->stride - pad, at * pool->stride - pad + pool->kernel, extent);
}

/* The windows, of `extent` along an axis, that have the pixel `at`. */
ALWAYS_INLINE Range windows_of(const Pool *pool, i64 at, i64 pad, i64 extent) {
  const i64 before = at + pad - pool->kernel + 1;
  return within(before > 0 ? (before + pool->stride - 1) / pool->stride : 0, (at + pad) / pool->stride + 1,
                extent);
}

/* ---- windows of pixels --------------------------------------------------------------------- */

/* The pixels of a window that are in the image, from `x` on; `place` is that of the first. */
typedef struct {
  const float *x;
  float *y;
  i8 *place_out;
  i64 rows, cols, row, channels; /* row: floats from one row of the image to the next */
  i64 place, kernel;
  vf factor;
} Window;

ALWAYS_INLINE vi vi_select(vi mask, vi yes, vi no) { return (mask & yes) | (~mask & no); }

ALWAYS_INLINE void put_bytes(i8 *p, vi x, i64 count) {
  if (count >= LANES) vi_store_bytes(p, x);
  else for (i64 i = 0; i < count; i++) p[i] = (i8)x[i];
}

ALWAYS_INLINE vi take_bytes(const i8 *p, i64 count) {
  if (count >= LANES) return vi_load_bytes(p);
  vi x = {0};
  for (i64 i = 0; i < count; i++) x[i] = p[i];
  return x;
}

ALWAYS_INLINE void max_vector(const Window *on, i64 at, i64 count) {
  vf best = vf_take(on->x + at, count);
  vi place = vi_splat((i32)on->place);
  for (i64 i = 0; i < on->rows; i++) {
    for (i64 j = 0; j < on->cols; j++) {
      const vf x = vf_take(on->x + i * on->row + j * on->channels + at, count);
      const vi more = (x > best) | (x != x);
      best = vf_select(more, x, best);
      place = vi_select(more, vi_splat((i32)(on->place + i * on->kernel + j)), place);
    }
  }
  vf_put(on->y + at, best, count);
  put_bytes(on->place_out + at, place, count);
}

ALWAYS_INLINE void mean_vector(const Window *on, i64 at, i64 count) {
  vf sum = vf_zero();
  for (i64 i = 0; i < on->rows; i++) {
    for (i64 j = 0; j < on->cols; j++) {
      sum += vf_take(on->x + i * on->row + j * on->channels + at, count);
    }
  }
  vf_put(on->y + at, sum * on->factor, count);
}

/* The window `column` of a row of windows, numbered over all images. */
ALWAYS_INLINE Window window_of(const Pool *pool, const float *x, i64 item, i64 column) {
  const i64 image = item / pool->out_height, row = item % pool->out_height;
  const Range i = pixels_of(pool, row, pool->top, pool->height);
  const Range j = pixels_of(pool, column, pool->left, pool->width);
  const i64 down = i.first - (row * pool->stride - pool->top);
  const i64 across = j.first - (column * pool->stride - pool->left);
  return (Window){.x = x + ((image * pool->height + i.first) * pool->width + j.first) * pool->channels,
                  .rows = i.end - i.first, .cols = j.end - j.first,
                  .row = pool->width * pool->channels, .channels = pool->channels,
                  .place = down * pool->kernel + across, .kernel = pool->kernel};
}

/* y [B, Ho, Wo, C] = the largest pixel of each window, place the first of them; NaN is larger than anything */
KERNEL(max_pool) {
  const Pool pool = POOL_OF(args);
  i64 begin, end;
  share(ctx, args->batch * pool.out_height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    for (i64 column = 0; column < pool.out_width; column++) {
      const i64 at = (item * pool.out_width + column) * pool.channels;
      Window on = window_of(&pool, F32(ctx, args->x), item, column);
      on.y = F32(ctx, args->y) + at;
      on.place_out = I8(ctx, args->place) + at;
      FOR_VECTORS(0, pool.channels, max_vector, &on);
    }
  }
}

/* What one pixel of a window is divided by. */
ALWAYS_INLINE float share_of(const Pool *pool, i32 count_padding, i64 rows, i64 cols) {
  return 1.0f / (float)(count_padding ? pool->kernel * pool->kernel : rows * cols);
}

/* y [B, Ho, Wo, C] = the mean of each window, of the pixels in the image or of all */
KERNEL(average_pool) {
  const Pool pool = POOL_OF(args);
  i64 begin, end;
  share(ctx, args->batch * pool.out_height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    for (i64 column = 0; column < pool.out_width; column++) {
      Window on = window_of(&pool, F32(ctx, args->x), item, column);
      on.y = F32(ctx, args->y) + (item * pool.out_width + column) * pool.channels;
      on.factor = vf_splat(share_of(&pool, args->count_padding, on.rows, on.cols));
      FOR_VECTORS(0, pool.channels, mean_vector, &on);
    }
  }
}

/* ---- the windows of a pixel ---------------------------------------------------------------- */

/* A pixel, (down, across) from the padding's corner, and the windows that have it. */
typedef struct {
  const Pool *pool;
  const float *dy; /* of the image */
  const i8 *place;
  float *dx;
  i64 down, across;
  Range rows, cols;
  i32 count_padding;
} Gather;

ALWAYS_INLINE void max_grad_vector(const Gather *on, i64 at, i64 count) {
  const Pool *pool = on->pool;
  vf sum = vf_zero();
  for (i64 r = on->rows.first; r < on->rows.end; r++) {
    for (i64 s = on->cols.first; s < on->cols.end; s++) {
      const i64 window = (r * pool->out_width + s) * pool->channels + at;
      const i64 place = (on->down - r * pool->stride) * pool->kernel + on->across - s * pool->stride;
      const vi mine = take_bytes(on->place + window, count) == vi_splat((i32)place);
      sum += (vf)(mine & (vi)vf_take(on->dy + window, count));
    }
  }
  vf_put(on->dx + at, sum, count);
}

ALWAYS_INLINE void mean_grad_vector(const Gather *on, i64 at, i64 count) {
  const Pool *pool = on->pool;
  vf sum = vf_zero();
  for (i64 r = on->rows.first; r < on->rows.end; r++) {
    const Range i = pixels_of(pool, r, pool->top, pool->height);
    for (i64 s = on->cols.first; s < on->cols.end; s++) {
      const Range j = pixels_of(pool, s, pool->left, pool->width);
      const float part = share_of(pool, on->count_padding, i.end - i.first, j.end - j.first);
      const vf dy = vf_take(on->dy + (r * pool->out_width + s) * pool->channels + at, count);
      sum = vf_fma(dy, vf_splat(part), sum);
    }
  }
  vf_put(on->dx + at, sum, count);
}

/* The windows of pixel `column` of a row of pixels, numbered over all images. */
ALWAYS_INLINE Gather gather_of(const Pool *pool, const float *dy, float *dx, i64 item, i64 column) {
  const i64 image = item / pool->height, row = item % pool->height;
  return (Gather){.pool = pool,
                  .dy = dy + image * pool->out_height * pool->out_width * pool->channels,
                  .dx = dx + (item * pool->width + column) * pool->channels,
                  .down = row + pool->top, .across = column + pool->left,
                  .rows = windows_of(pool, row, pool->top, pool->out_height),
                  .cols = windows_of(pool, column, pool->left, pool->out_width)};
}

/* dx [B, H, W, C] = the sum of dy over the windows whose largest pixel it was */
KERNEL(max_pool_grad) {
  const Pool pool = POOL_OF(args);
  i64 begin, end;
  share(ctx, args->batch * pool.height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    for (i64 column = 0; column < pool.width; column++) {
      Gather on = gather_of(&pool, F32(ctx, args->dy), F32(ctx, args->dx), item, column);
      on.place = I8(ctx, args->place) + item / pool.height * pool.out_height * pool.out_width * pool.channels;
      FOR_VECTORS(0, pool.channels, max_grad_vector, &on);
    }
  }
}

/* dx [B, H, W, C] = the sum over its windows of dy divided by their pixels */
KERNEL(average_pool_grad) {
  const Pool pool = POOL_OF(args);
  i64 begin, end;
  share(ctx, args->batch * pool.height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    for (i64 column = 0; column < pool.width; column++) {
      Gather on = gather_of(&pool, F32(ctx, args->dy), F32(ctx, args->dx), item, column);
      on.count_padding = args->count_padding;
      FOR_VECTORS(0, pool.channels, mean_grad_vector, &on);
    }
  }
}
