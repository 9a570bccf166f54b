/* windows.c - images cut into windows, and the bias of attention inside a window.
 *
 * Legend: B images of H x W tokens of C floats, w side of a window, N = w w tokens, row by row unless
 * told otherwise; (i, j) is a pair of tokens of a window. windows only copies; what a row of the
 * shifted image or a row of a table holds is written by one thread.
 */
#include "kernels.h"
#include "loop.h"

/* y [count] = x, + residual unless it is null; y may be residual */
static void move_floats(float *y, const float *x, const float *residual, i64 count) {
  if (!residual) {
    copy_floats(y, x, count);
    return;
  }
  for (i64 i = 0; i < count; i += LANES) {
    vf_put(y + i, vf_take(x + i, count - i) + vf_take(residual + i, count - i), count - i);
  }
}

/* y [B HW / N, N, C] = x [B, H, W, C] rolled up and left by `shift`, in windows; inverse: x is the
 * windows and y the image. Runs of neighbours are copied at once. */
KERNEL(windows) {
  const float *x = F32(ctx, args->x), *residual = F32(ctx, args->residual);
  float *y = F32(ctx, args->y);
  const i64 height = args->height, width = args->width, window = args->window;
  const i64 across = width / window, channels = args->channels;
  i64 begin, end;
  share(ctx, args->batch * height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 image = item / height, row = item % height;
    const i64 pixels = (image * height + (row + args->shift) % height) * width;
    const i64 first = (image * height + row) / window * across; /* window at the left */
    const i64 down = row % window;
    i64 run;
    for (i64 column = 0; column < width; column += run) {
      const i64 from = (column + args->shift) % width, right = column % window;
      const i64 index = first + column / window;
      i64 pixel = (pixels + from) * channels, token;
      if (args->column_major) {
        token = ((index * window + right) * window + down) * channels;
        run = 1;
      } else {
        token = ((index * window + down) * window + right) * channels;
        run = window - right < width - from ? window - right : width - from;
      }
      const i64 to = args->inverse ? pixel : token;
      move_floats(y + to, x + (args->inverse ? token : pixel), residual ? residual + to : 0,
                  run * channels);
    }
  }
}

/* y [heads, N, N]: (h, i, j) = table [(2w-1)(2w-1), heads] at the displacement from j to i */
KERNEL(relative_position_bias) {
  const i64 window = args->window, tokens = window * window, heads = args->heads;
  i64 begin, end;
  share(ctx, heads * tokens, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 head = item / tokens, i = item % tokens;
    float *y = F32(ctx, args->y) + item * tokens;
    for (i64 down = 0; down < window; down++) {
      const i64 row = (i / window - down + window - 1) * (2 * window - 1);
      const float *table = F32(ctx, args->table) + (row + i % window + window - 1) * heads + head;
      for (i64 right = 0; right < window; right++) *y++ = table[-right * heads];
    }
  }
}

/* dtable [(2w-1)(2w-1), heads] = sums of dy [heads, N, N] over the pairs of each displacement */
KERNEL(relative_position_bias_grad) {
  const i64 window = args->window, tokens = window * window, heads = args->heads;
  const i64 span = 2 * window - 1;
  i64 begin, end;
  share(ctx, span * span, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 down = item / span - (window - 1), right = item % span - (window - 1);
    const i64 top = down > 0 ? down : 0, bottom = down < 0 ? window + down : window;
    const i64 left = right > 0 ? right : 0, last = right < 0 ? window + right : window;
    for (i64 head = 0; head < heads; head++) {
      const float *dy = F32(ctx, args->dy) + head * tokens * tokens;
      float sum = 0;
      for (i64 iy = top; iy < bottom; iy++) {
        for (i64 ix = left; ix < last; ix++) {
          const i64 i = iy * window + ix;
          sum += dy[i * tokens + i - down * window - right];
        }
      }
      F32(ctx, args->dtable)[item * heads + head] = sum;
    }
  }
}
