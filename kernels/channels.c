/* channels.c - moving channels: images with channels first to channels last and back. */
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
