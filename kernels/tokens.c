/* tokens.c - moving tokens: patches of an image, joining and cutting sequences and batches, mean over
 * tokens and its gradient.
 *
 * Legend: B batch, N tokens, D width of a token, C channels, H W image, p patch size. All but
 * mean_tokens and broadcast_tokens only copy; work is split by rows, and a row is written by one
 * thread.
 */
#include "bytes.h"
#include "kernels.h"
#include "loop.h"

#define LEVELS_OF_A_BYTE 256
#define LEVEL_OFFSET 128

/* One row of patches (of one image): [C, p, W] of the image to or from [W/p, C, p, p]. */
static void patch_row(const struct patchify_args *args, const float *from, float *to) {
  const i64 p = args->patch, across = args->width / p, plane = (i64)args->height * args->width;
  for (i64 column = 0; column < across; column++) {
    for (i64 channel = 0; channel < args->channels; channel++) {
      for (i64 dy = 0; dy < p; dy++) {
        const i64 pixel = channel * plane + dy * args->width + column * p;
        const i64 entry = ((column * args->channels + channel) * p + dy) * p;
        if (args->inverse) copy_floats(to + pixel, from + entry, p);
        else copy_floats(to + entry, from + pixel, p);
      }
    }
  }
}

/* x [B, C, H, W] to y [B, (H/p)(W/p), C p p], a token in the order (channel, dy, dx): that of a
 * convolution's weight [D, C, p, p]. inverse: x is the patches and y the image. */
KERNEL(patchify) {
  const float *x = F32(ctx, args->x);
  float *y = F32(ctx, args->y);
  const i64 image = (i64)args->channels * args->height * args->width;
  const i64 down = args->height / args->patch, band = (i64)args->patch * args->width;
  i64 begin, end;
  share(ctx, args->batch * down, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 start = item / down * image, row = item % down;
    const i64 pixels = start + row * band, patches = start + row * band * args->channels;
    patch_row(args, x + (args->inverse ? patches : pixels), y + (args->inverse ? pixels : patches));
  }
}

/* y [B, C, H, W] = table [C, 256] at the levels x, which are held less 128 */
KERNEL(normalise) {
  const i8 *x = I8(ctx, args->x);
  const float *table = F32(ctx, args->table);
  float *y = F32(ctx, args->y);
  i64 begin, end;
  share(ctx, args->count, GRAIN, &begin, &end);
  for (i64 i = begin; i < end;) {
    const i64 plane = i / args->plane, stop = (plane + 1) * args->plane;
    const float *levels = table + plane % args->channels * LEVELS_OF_A_BYTE + LEVEL_OFFSET;
    const i64 last = stop < end ? stop : end;
    for (; i < last; i++) y[i] = levels[x[i]];
  }
}

/* y [B, Na + Nb, D] = a then b along the tokens; a is [1, Na, D] for every image when shared_a,
 * else [B, Na, D]. */
KERNEL(concat_tokens) {
  const float *a = F32(ctx, args->a), *b = F32(ctx, args->b);
  float *y = F32(ctx, args->y);
  const i64 dim = args->dim, tokens_a = args->tokens_a, tokens_b = args->tokens_b;
  const i64 tokens = tokens_a + tokens_b;
  i64 begin, end;
  share(ctx, args->batch * tokens, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const i64 image = row / tokens, token = row % tokens;
    const float *from = token < tokens_a
                            ? a + ((args->shared_a ? 0 : image * tokens_a) + token) * dim
                            : b + (image * tokens_b + token - tokens_a) * dim;
    copy_floats(y + row * dim, from, dim);
  }
}

/* y [B, count, D] = x [B, N, D] from token `start` on */
KERNEL(slice_tokens) {
  const float *x = F32(ctx, args->x);
  float *y = F32(ctx, args->y);
  const i64 dim = args->dim;
  i64 begin, end;
  share(ctx, (i64)args->batch * args->count, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const i64 image = row / args->count, token = args->start + row % args->count;
    copy_floats(y + row * dim, x + (image * args->tokens + token) * dim, dim);
  }
}

/* y = `bytes` bytes of x from byte `start` on: images of a batch, of any type */
KERNEL(slice_batch) {
  const i8 *x = I8(ctx, args->x) + args->start;
  i8 *y = I8(ctx, args->y);
  i64 begin, end;
  share(ctx, args->bytes, 4 * GRAIN, &begin, &end);
  for (; begin + (i64)sizeof(vf) <= end; begin += sizeof(vf)) {
    __builtin_memcpy(y + begin, x + begin, sizeof(vf));
  }
  for (; begin < end; begin++) y[begin] = x[begin];
}

/* y [B, N, D] = x [B, count, D] at tokens start..start+count, zero elsewhere */
KERNEL(pad_tokens) {
  const float *x = F32(ctx, args->x);
  float *y = F32(ctx, args->y);
  const i64 dim = args->dim;
  i64 begin, end;
  share(ctx, (i64)args->batch * args->tokens, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const i64 image = row / args->tokens, token = row % args->tokens - args->start;
    if (token >= 0 && token < args->count) {
      copy_floats(y + row * dim, x + (image * args->count + token) * dim, dim);
    } else {
      fill_floats(y + row * dim, 0, dim);
    }
  }
}

/* y [B, D] = mean of x [B, N, D] over the tokens */
KERNEL(mean_tokens) {
  const i64 dim = args->dim, blocks = (dim + LANES - 1) / LANES;
  const float divisor = (float)args->tokens;
  i64 begin, end;
  share(ctx, args->batch * blocks, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 image = item / blocks, column = item % blocks * LANES, count = dim - column;
    const float *x = F32(ctx, args->x) + image * args->tokens * dim + column;
    vf sum = vf_zero();
    for (i64 token = 0; token < args->tokens; token++) sum += vf_take(x + token * dim, count);
    vf_put(F32(ctx, args->y) + image * dim + column, sum / divisor, count);
  }
}

typedef struct {
  const float *x;
  float *y;
  float scale;
} Scaled;

ALWAYS_INLINE void scaled_vector(const Scaled *row, i64 i, i64 count) {
  vf_put(row->y + i, vf_take(row->x + i, count) * row->scale, count);
}

/* y [B, N, D] = scale * x [B, D] for every token */
KERNEL(broadcast_tokens) {
  const i64 dim = args->dim;
  i64 begin, end;
  share(ctx, (i64)args->batch * args->tokens, 1, &begin, &end);
  for (i64 row = begin; row < end; row++) {
    const Scaled on = {F32(ctx, args->x) + row / args->tokens * dim,
                       F32(ctx, args->y) + row * dim, args->scale};
    FOR_VECTORS(0, dim, scaled_vector, &on);
  }
}
