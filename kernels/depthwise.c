/* depthwise.c - convolution with one channel in each group, and its two gradients: loops along the channels.
 *
 * An output row is a sum over taps: y[t] += x[t step + offset] * w, pixel by pixel, all channels of a pixel
 * together. A pass takes up to MOST_TAPS taps of BLOCK channels, a cache line, with the weights and the sums of
 * a pixel in registers; a kernel of 3 x 3 takes one pass, larger ones go over the output row again while it is
 * in the first-level cache. The input's gradient is the same loop over output rows, for the pixels of one phase
 * of the stride at a time, which have the same taps. The weights' gradient keeps the sums of MOST_TAPS taps in
 * registers over the rows of a chunk; chunks are those of loop.h, added in order.
 *
 * What bounds these loops is memory: a 3 x 3 kernel does 18 operations for each number that it reads.
 */
#include "conv.h"
#include "kernels.h"
#include "loop.h"

#define MOST_TAPS 9
#define BLOCK 16
#define VECTORS (BLOCK / LANES)

/* A tap of a row of outputs: output t reads in[t * step]; there is such a pixel for begin <= t < end. */
typedef struct {
  const float *in, *weight;
  i64 begin, end;
} Tap;

/* A row: `count` outputs that are `apart` floats apart, of which each tap reads pixels `step` floats apart. */
typedef struct {
  float *out;
  const float *bias; /* of the first pass; null: zero */
  i64 count, apart, step, channels;
} Row;

/* Adds n taps to the output at t, `vectors` of channels from `channel` on; `width` of them are there. */
ALWAYS_INLINE void add_taps(i32 n, i32 vectors, const Row *row, const Tap *taps, i64 t, i64 channel,
                            i64 width, i32 first) {
  float *out = row->out + t * row->apart + channel;
  vf sum[VECTORS];
  UNROLL_LOOP for (i32 v = 0; v < vectors; v++) {
    if (!first) sum[v] = vf_take(out + v * LANES, width);
    else sum[v] = row->bias ? vf_take(row->bias + channel + v * LANES, width) : vf_zero();
  }
  UNROLL_LOOP for (i32 i = 0; i < n; i++) {
    const float *in = taps[i].in + t * row->step + channel, *weight = taps[i].weight + channel;
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) {
      sum[v] = vf_fma(vf_take(in + v * LANES, width), vf_take(weight + v * LANES, width), sum[v]);
    }
  }
  UNROLL_LOOP for (i32 v = 0; v < vectors; v++) vf_put(out + v * LANES, sum[v], width);
}

/* The same for a pixel near the side of the image, tap by tap as far as there are pixels. */
static void add_edge(i32 n, const Row *row, const Tap *taps, i64 t, i32 first) {
  for (i64 channel = 0; channel < row->channels; channel += LANES) {
    const i64 width = row->channels - channel;
    float *out = row->out + t * row->apart + channel;
    vf sum = vf_zero();
    if (!first) sum = vf_take(out, width);
    else if (row->bias) sum = vf_take(row->bias + channel, width);
    for (i32 i = 0; i < n; i++) {
      if (t < taps[i].begin || t >= taps[i].end) continue;
      const float *in = taps[i].in + t * row->step + channel;
      sum = vf_fma(vf_take(in, width), vf_take(taps[i].weight + channel, width), sum);
    }
    vf_put(out, sum, width);
  }
}

/* One pass over the row: the pixels that all taps reach, a block of channels after another. */
ALWAYS_INLINE void pass(i32 n, const Row *row, const Tap *taps, i32 first) {
  i64 begin = 0, end = row->count, channel = 0;
  for (i32 i = 0; i < n; i++) {
    if (taps[i].begin > begin) begin = taps[i].begin;
    if (taps[i].end < end) end = taps[i].end;
  }
  if (end < begin) end = begin = row->count;
  for (i64 t = 0; t < begin; t++) add_edge(n, row, taps, t, first);
  for (i64 t = end; t < row->count; t++) add_edge(n, row, taps, t, first);
  for (; channel + BLOCK <= row->channels; channel += BLOCK) {
    for (i64 t = begin; t < end; t++) add_taps(n, VECTORS, row, taps, t, channel, LANES, first);
  }
  for (; channel < row->channels; channel += LANES) {
    const i64 width = row->channels - channel;
    for (i64 t = begin; t < end; t++) add_taps(n, 1, row, taps, t, channel, width, first);
  }
}

typedef void PassFunction(const Row *row, const Tap *taps, i32 first);
#define PASS(n) \
  static void pass_##n(const Row *row, const Tap *taps, i32 first) { pass(n, row, taps, first); }
PASS(0) PASS(1) PASS(2) PASS(3) PASS(4) PASS(5) PASS(6) PASS(7) PASS(8) PASS(9)
static PassFunction *const passes[MOST_TAPS + 1] = {pass_0, pass_1, pass_2, pass_3, pass_4,
                                                    pass_5, pass_6, pass_7, pass_8, pass_9};

/* Taps on their way to a pass. */
typedef struct {
  const Row *row;
  Tap taps[MOST_TAPS];
  i32 count, first;
} Passes;

static void flush(Passes *on) {
  if (on->count > 0 || on->first) passes[on->count](on->row, on->taps, on->first);
  on->count = on->first = 0;
}

static void add_tap(Passes *on, Tap tap) {
  on->taps[on->count++] = tap;
  if (on->count == MOST_TAPS) flush(on);
}

static i64 ceil_div(i64 a, i64 b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

static i64 clamped(i64 x, i64 most) { return x < 0 ? 0 : x < most ? x : most; }

/* y, as conv.c's conv2d */
void SUFFIX(depthwise)(const Context *ctx, const Conv *conv, const float *x, const float *w,
                       const float *bias, float *y) {
  const i64 channels = conv->inputs, stride = conv->stride;
  i64 begin, end;
  share(ctx, conv->batch * conv->out_height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 image = item / conv->out_height, top = item % conv->out_height * stride - conv->top;
    const Row row = {y + item * conv->out_width * channels, bias, conv->out_width, channels,
                     stride * channels, channels};
    Passes on = {.row = &row, .first = 1};
    for (i64 down = 0; down < conv->kernel_height; down++) {
      const i64 i = top + down * conv->dilation;
      if (i < 0 || i >= conv->height) continue;
      const float *line = x + (image * conv->height + i) * conv->width * channels;
      for (i64 right = 0; right < conv->kernel_width; right++) {
        const i64 j = right * conv->dilation - conv->left;
        const i64 first = clamped(ceil_div(-j, stride), conv->out_width);
        const i64 last = clamped(ceil_div(conv->width - j, stride), conv->out_width);
        const float *weight = w + (down * conv->kernel_width + right) * channels;
        add_tap(&on, (Tap){line + j * channels, weight, first, last});
      }
    }
    flush(&on);
  }
}

/* dx, as conv.c's conv2d_grad_input */
void SUFFIX(depthwise_grad_input)(const Context *ctx, const Conv *conv, const float *dy, const float *w,
                                  float *dx) {
  const i64 channels = conv->inputs, stride = conv->stride;
  i64 begin, end;
  share(ctx, conv->batch * conv->height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 image = item / conv->height, i = item % conv->height + conv->top;
    for (i64 across = 0; across < stride && across < conv->width; across++) {
      const i64 pixels = (conv->width - across + stride - 1) / stride;
      const Row row = {dx + (item * conv->width + across) * channels, 0, pixels, stride * channels,
                       channels, channels};
      Passes on = {.row = &row, .first = 1};
      for (i64 down = 0; down < conv->kernel_height; down++) {
        const i64 above = i - down * conv->dilation, output = above / stride;
        if (above < 0 || above % stride != 0 || output >= conv->out_height) continue;
        const float *line = dy + (image * conv->out_height + output) * conv->out_width * channels;
        for (i64 right = 0; right < conv->kernel_width; right++) {
          const i64 before = across + conv->left - right * conv->dilation;
          const i64 at = ceil_div(before, stride);
          if (at * stride != before) continue;
          const float *weight = w + (down * conv->kernel_width + right) * channels;
          add_tap(&on, (Tap){line + at * channels, weight, clamped(-at, pixels),
                             clamped(conv->out_width - at, pixels)});
        }
      }
      flush(&on);
    }
  }
}

/* ---- dw ------------------------------------------------------------------------------------ */

/* Taps of a kernel row over the pixels of an output row: at output t, tap i reads x[t * step + offset[i]]. */
typedef struct {
  const float *dy, *x;
  float *sums; /* [n, channels] */
  i64 offset[MOST_TAPS], begin[MOST_TAPS], end[MOST_TAPS];
} Line;

/* sums += x dy over the pixels [begin, end) that all n taps reach; `vectors` of channels from `channel` on, of
 * which `width` are there. */
ALWAYS_INLINE void add_block(i32 n, i32 vectors, const Conv *conv, const Line *line, i64 begin, i64 end,
                             i64 channel, i64 width) {
  const i64 channels = conv->inputs, step = conv->stride * channels;
  vf sum[MOST_TAPS][VECTORS];
  UNROLL_LOOP for (i32 i = 0; i < n; i++) {
    const float *from = line->sums + i * channels + channel;
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) sum[i][v] = vf_take(from + v * LANES, width);
  }
  for (i64 t = begin; t < end; t++) {
    const float *from = line->dy + t * channels + channel;
    vf dy[VECTORS];
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) dy[v] = vf_take(from + v * LANES, width);
    UNROLL_LOOP for (i32 i = 0; i < n; i++) {
      const float *x = line->x + t * step + line->offset[i] + channel;
      UNROLL_LOOP for (i32 v = 0; v < vectors; v++) {
        sum[i][v] = vf_fma(vf_take(x + v * LANES, width), dy[v], sum[i][v]);
      }
    }
  }
  UNROLL_LOOP for (i32 i = 0; i < n; i++) {
    float *to = line->sums + i * channels + channel;
    UNROLL_LOOP for (i32 v = 0; v < vectors; v++) vf_put(to + v * LANES, sum[i][v], width);
  }
}

/* A pixel near the side of the image. */
static void add_edge_of(i32 n, const Conv *conv, const Line *line, i64 t) {
  const i64 channels = conv->inputs;
  for (i32 i = 0; i < n; i++) {
    if (t < line->begin[i] || t >= line->end[i]) continue;
    const float *x = line->x + t * conv->stride * channels + line->offset[i], *dy = line->dy + t * channels;
    float *sums = line->sums + i * channels;
    for (i64 at = 0; at < channels; at += LANES) {
      const i64 width = channels - at;
      vf_put(sums + at, vf_fma(vf_take(x + at, width), vf_take(dy + at, width), vf_take(sums + at, width)),
             width);
    }
  }
}

ALWAYS_INLINE void add_line(i32 n, const Conv *conv, const Line *line) {
  i64 begin = 0, end = conv->out_width, channel = 0;
  for (i32 i = 0; i < n; i++) {
    if (line->begin[i] > begin) begin = line->begin[i];
    if (line->end[i] < end) end = line->end[i];
  }
  if (end < begin) end = begin = conv->out_width;
  for (i64 t = 0; t < begin; t++) add_edge_of(n, conv, line, t);
  for (i64 t = end; t < conv->out_width; t++) add_edge_of(n, conv, line, t);
  for (; channel + BLOCK <= conv->inputs; channel += BLOCK) {
    add_block(n, VECTORS, conv, line, begin, end, channel, LANES);
  }
  for (; channel < conv->inputs; channel += LANES) {
    add_block(n, 1, conv, line, begin, end, channel, conv->inputs - channel);
  }
}

typedef void LineFunction(const Conv *conv, const Line *line);
#define LINE_OF(n) \
  static void line_##n(const Conv *conv, const Line *line) { add_line(n, conv, line); }
LINE_OF(1) LINE_OF(2) LINE_OF(3) LINE_OF(4) LINE_OF(5) LINE_OF(6) LINE_OF(7) LINE_OF(8) LINE_OF(9)
static LineFunction *const lines[MOST_TAPS] = {line_1, line_2, line_3, line_4, line_5,
                                               line_6, line_7, line_8, line_9};

/* Adds an output row to the sums of all taps. */
static void add_row(const Conv *conv, const float *x, const float *dy, i64 item, float *sums) {
  const i64 channels = conv->inputs, image = item / conv->out_height;
  for (i64 down = 0; down < conv->kernel_height; down++) {
    const i64 i = item % conv->out_height * conv->stride - conv->top + down * conv->dilation;
    if (i < 0 || i >= conv->height) continue;
    for (i64 right = 0, n; right < conv->kernel_width; right += n) {
      n = conv->kernel_width - right < MOST_TAPS ? conv->kernel_width - right : MOST_TAPS;
      Line line = {.dy = dy + item * conv->out_width * channels,
                   .x = x + (image * conv->height + i) * conv->width * channels,
                   .sums = sums + (down * conv->kernel_width + right) * channels};
      for (i64 tap = 0; tap < n; tap++) {
        const i64 j = (right + tap) * conv->dilation - conv->left;
        line.offset[tap] = j * channels;
        line.begin[tap] = clamped(ceil_div(-j, conv->stride), conv->out_width);
        line.end[tap] = clamped(ceil_div(conv->width - j, conv->stride), conv->out_width);
      }
      lines[n - 1](conv, &line);
    }
  }
}

/* dw, as conv.c's conv2d_grad_weight; workspace: CHUNKS * taps * channels floats */
void SUFFIX(depthwise_grad_weight)(const Context *ctx, const Conv *conv, const float *x, const float *dy,
                                   float *dw, float *workspace) {
  const i64 count = conv->kernel_height * conv->kernel_width * conv->inputs;
  const i64 rows = conv->batch * conv->out_height;
  i64 begin, end;
  share(ctx, CHUNKS, 1, &begin, &end);
  for (i64 chunk = begin; chunk < end; chunk++) {
    float *sums = workspace + chunk * count;
    fill_floats(sums, 0, count);
    for (i64 item = chunk_begin(rows, chunk); item < chunk_begin(rows, chunk + 1); item++) {
      add_row(conv, x, dy, item, sums);
    }
  }
  SUFFIX(thimble_barrier)(ctx);
  add_chunks(ctx, workspace, dw, count);
}
