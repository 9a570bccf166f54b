/* conv.c - convolution of NHWC images and its two gradients, as products of gemm.c.
 *
 * In NHWC the taps of one kernel row are neighbours: with dilation 1 the KW own channels under them are one run
 * of floats, and the run of the next output pixel begins stride * C floats later. So a kernel row is an
 * ordinary left-hand matrix [Wo, KW own], read from the image as it lies, or from a copy of the row with its
 * zeros where the image has none (a staged row). A convolution of an output row is the sum of KH such
 * products; nothing like im2col is written. With dilation each tap is a run of its own.
 *
 *   y      runs [Wo, KW own] of x      times  w[i]            over the kernel rows i
 *   dx     runs [W / stride, own O] of dy  times  w[i, j]ᵀ    over the taps (i, j): a pixel gathers from the
 *          outputs that it is part of; the pixels of one phase, (row, column) modulo the stride, have the same
 *          taps, so that no product is wasted on zeros between outputs
 *   dw     taps of x, transposed        times  dy             over blocks of BLOCK_K pixels, whose taps are
 *          copied side by side, PIECE of them at a time
 *
 * Where every channel is a group of its own there is nothing to multiply as a matrix: depthwise.c.
 *
 * Weights are packed in blocks that fit the second-level cache, for as many runs as have room, and every
 * thread goes over its output rows with each block. Sums have the order of runs, then blocks: a function of
 * the shapes alone.
 */
#include "conv.h"
#include "kernels.h"
#include "loop.h"

/* Part of the taps whose products with a block of weights are one product. */
typedef struct {
  i64 down, right;  /* the tap; of a run along a kernel row: its first */
  i64 first, depth; /* floats of the run: where this part begins and how many they are */
} Run;

/* Walks through the runs of a kernel, parts of at most BLOCK_K floats, row by row. */
typedef struct {
  i64 rows, across, length; /* kernel rows, runs of a row, floats of a run */
} Runs;

static i64 parts_of(const Runs *runs) { return (runs->length + BLOCK_K - 1) / BLOCK_K; }

static i64 count_runs(const Runs *runs) { return runs->rows * runs->across * parts_of(runs); }

static Run run_at(const Runs *runs, i64 index) {
  const i64 parts = parts_of(runs), part = index % parts, tap = index / parts;
  const i64 first = runs->length * part / parts, last = runs->length * (part + 1) / parts;
  return (Run){tap / runs->across, tap % runs->across, first, last - first};
}

/* Columns of a block, and how many runs from `run` on have room in it. */
static i64 block_columns(i64 depth, i64 n) {
  const i64 most = BLOCK_FLOATS / (depth < BLOCK_K ? depth : BLOCK_K) / TILE_COLS * TILE_COLS;
  const i64 blocks = (n + most - 1) / most;
  return round_up((n + blocks - 1) / blocks, TILE_COLS);
}

static i64 block_runs(const Runs *runs, i64 run, i64 columns) {
  const i64 count = count_runs(runs);
  i64 last = run, floats = 0;
  for (; last < count; last++) {
    floats += gemm_packed_floats(run_at(runs, last).depth, columns);
    if (floats > BLOCK_FLOATS && last > run) break;
  }
  return last;
}

/* Scratch of a thread: packed weights, what a product needs, staged pixels. */
typedef struct {
  float *panels, *product, *staged;
} Room;

static Room room_of(const Context *ctx) {
  float *scratch = (float *)ctx->scratch;
  return (Room){scratch, scratch + BLOCK_FLOATS, scratch + GEMM_SCRATCH_BYTES / 4};
}

/* to [count, own] = pixels first, first + 1, ... of a row of `width` pixels of `channels`; zeros where there is
 * no such pixel. */
static void stage(float *to, const float *row, i64 width, i64 channels, i64 own, i64 first, i64 count) {
  i64 begin = first < 0 ? -first : 0, end = width - first < count ? width - first : count;
  if (begin > count) begin = count;
  if (end < begin) end = begin;
  fill_floats(to, 0, begin * own);
  if (own == channels) {
    copy_floats(to + begin * own, row + (first + begin) * channels, (end - begin) * own);
  } else {
    for (i64 pixel = begin; pixel < end; pixel++) {
      copy_floats(to + pixel * own, row + (first + pixel) * channels, own);
    }
  }
  fill_floats(to + end * own, 0, (count - end) * own);
}

/* ---- y ------------------------------------------------------------------------------------- */

/* A group's columns [column, column + columns) of all output rows, and the runs of one block. */
typedef struct {
  const Conv *conv;
  const float *x, *bias;
  float *y;
  i64 group, column, columns;
  const Runs *runs;
  i64 run, last; /* of the block */
  Room room;
} Forward;

/* The first kernel row that lies on the image at output row `row`; kernel_height: none does. */
static i64 first_down(const Conv *conv, i64 row) {
  for (i64 down = 0; down < conv->kernel_height; down++) {
    const i64 i = row * conv->stride - conv->top + down * conv->dilation;
    if (i >= 0 && i < conv->height) return down;
  }
  return conv->kernel_height;
}

static void bias_row(const Forward *on, float *y) {
  for (i64 pixel = 0; pixel < on->conv->out_width; pixel++, y += on->conv->outputs) {
    if (on->bias) copy_floats(y, on->bias, on->columns);
    else fill_floats(y, 0, on->columns);
  }
}

/* Output row `row` of image `image`: the products of the block's runs are added to it. */
static void forward_row(const Forward *on, i64 image, i64 row) {
  const Conv *conv = on->conv;
  const i64 own = conv->own, reach = conv->dilation * (conv->kernel_width - 1);
  const i64 pixels = (conv->out_width - 1) * conv->stride + reach + 1;
  const i32 whole = conv->left == 0 && pixels <= conv->width && conv->groups == 1;
  float *y = on->y + (image * conv->out_height + row) * conv->out_width * conv->outputs;
  const i64 begins = first_down(conv, row);
  i64 staged = -1;
  const float *panels = on->room.panels;
  if (on->run == 0 && (on->bias || begins == conv->kernel_height)) bias_row(on, y);
  for (i64 index = on->run; index < on->last; index++) {
    const Run run = run_at(on->runs, index);
    const i64 i = row * conv->stride - conv->top + run.down * conv->dilation;
    if (i >= 0 && i < conv->height) {
      const float *line = on->x + (image * conv->height + i) * conv->width * conv->inputs;
      if (!whole && staged != run.down) {
        stage(on->room.staged, line + on->group * own, conv->width, conv->inputs, own, -conv->left, pixels);
        staged = run.down;
      }
      const float *from = whole ? line : on->room.staged;
      const Matrix taps = {from + run.right * conv->dilation * own + run.first, conv->stride * own, 1};
      const i32 begun = on->bias || run.down > begins || run.right > 0 || run.first > 0;
      SUFFIX(gemm_panels)(conv->out_width, on->columns, run.depth, taps, panels, y, conv->outputs, 1,
                          begun, (NextRead){0}, on->room.product);
    }
    panels += gemm_packed_floats(run.depth, on->columns);
  }
}

static void forward_block(const Context *ctx, const Forward *on, const float *w) {
  const Conv *conv = on->conv;
  float *panels = on->room.panels;
  for (i64 index = on->run; index < on->last; index++) {
    const Run run = run_at(on->runs, index);
    const i64 tap = (run.down * conv->kernel_width + run.right) * conv->own + run.first;
    SUFFIX(gemm_pack)(panels, (Matrix){w + tap * conv->outputs, conv->outputs, 1}, run.depth, on->columns);
    panels += gemm_packed_floats(run.depth, on->columns);
  }
  i64 begin, end;
  share(ctx, conv->batch * conv->out_height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    forward_row(on, item / conv->out_height, item % conv->out_height);
  }
}

/* y [B, Ho, Wo, O] = x [B, H, W, C] convolved with w [KH, KW, own, O], + bias unless it is absent */
KERNEL(conv2d) {
  const Conv conv = CONV_OF(args);
  if (is_depthwise(&conv)) {
    SUFFIX(depthwise)(ctx, &conv, F32(ctx, args->x), F32(ctx, args->w), F32(ctx, args->bias), F32(ctx, args->y));
    return;
  }
  const i64 joined = conv.dilation == 1 ? conv.kernel_width : 1;
  const Runs runs = {conv.kernel_height, conv.kernel_width / joined, joined * conv.own};
  const i64 n = conv.own_outputs, step = block_columns(runs.length * count_runs(&runs), n);
  Forward on = {.conv = &conv, .x = F32(ctx, args->x), .runs = &runs, .room = room_of(ctx)};
  for (i64 column = 0; column < conv.outputs; column += on.columns) {
    on.group = column / n;
    const i64 left = (on.group + 1) * n - column;
    on.columns = left < step ? left : step;
    on.y = F32(ctx, args->y) + column;
    on.bias = args->bias < 0 ? 0 : F32(ctx, args->bias) + column;
    for (on.run = 0; on.run < count_runs(&runs); on.run = on.last) {
      on.last = block_runs(&runs, on.run, on.columns);
      forward_block(ctx, &on, F32(ctx, args->w) + column);
    }
  }
}

/* ---- dx ------------------------------------------------------------------------------------ */

/* A group's channels [column, column + columns) of the pixels of one phase, and the runs of one block. */
typedef struct {
  const Conv *conv;
  const float *dy;
  float *dx;
  i64 columns;
  i64 across;             /* the phase: columns across, across + stride, ... */
  i64 pixels;             /* of a row */
  i64 first_right;        /* of the taps that meet them; kernel_width: none */
  i64 least;              /* the least output column that a tap reads */
  i64 reach;              /* how many more than `pixels` are read from there */
  const Runs *runs;
  i64 run, last;
  Room room;
} Gather;

/* Whether a tap that is `tap` pixels from the kernel's first meets an output at `pixel`, padded by `before`: which,
 * or else the last one before it. It may lie outside of the image. */
static i32 meets(i64 pixel, i64 before, i64 tap, i64 stride, i64 *output) {
  const i64 at = pixel + before - tap;
  *output = at >= 0 ? at / stride : -((-at + stride - 1) / stride);
  return *output * stride == at;
}

/* Whether tap `down` of pixel row `row` lies on an output row. */
static i32 meets_row(const Conv *conv, i64 row, i64 down, i64 *output) {
  const i32 met = meets(row, conv->top, down * conv->dilation, conv->stride, output);
  return met && *output >= 0 && *output < conv->out_height;
}

static void gather_row(const Gather *on, i64 image, i64 row) {
  const Conv *conv = on->conv;
  const i64 own = conv->own_outputs, apart = conv->stride * conv->inputs;
  float *dx = on->dx + ((image * conv->height + row) * conv->width + on->across) * conv->inputs;
  const float *panels = on->room.panels;
  const i64 count = on->pixels + on->reach;
  const i32 whole = conv->groups == 1 && on->least >= 0 && on->least + count <= conv->out_width;
  i64 begins = 0, output, right, staged = -1;
  while (begins < conv->kernel_height && !meets_row(conv, row, begins, &output)) begins++;
  if (on->run == 0 && (begins == conv->kernel_height || on->first_right == conv->kernel_width)) {
    for (i64 pixel = 0; pixel < on->pixels; pixel++) fill_floats(dx + pixel * apart, 0, on->columns);
  }
  for (i64 index = on->run; index < on->last; index++) {
    const Run run = run_at(on->runs, index);
    if (!meets(on->across, conv->left, run.right * conv->dilation, conv->stride, &right)) continue;
    if (meets_row(conv, row, run.down, &output)) {
      const float *line = on->dy + (image * conv->out_height + output) * conv->out_width * conv->outputs;
      const float *from = line + on->least * own;
      if (!whole) {
        from = on->room.staged;
        if (staged != run.down) {
          stage(on->room.staged, line, conv->out_width, conv->outputs, own, on->least, count);
          staged = run.down;
        }
      }
      const Matrix outputs = {from + (right - on->least) * own + run.first, own, 1};
      const i32 begun = run.down > begins || run.right > on->first_right || run.first > 0;
      SUFFIX(gemm_panels)(on->pixels, on->columns, run.depth, outputs, panels, dx, apart, 1, begun,
                          (NextRead){0}, on->room.product);
    }
    panels += gemm_packed_floats(run.depth, on->columns);
  }
}

/* What the phase's columns read of output rows. */
static void look_across(Gather *on) {
  const Conv *conv = on->conv;
  i64 most = 0;
  on->first_right = conv->kernel_width;
  for (i64 right = conv->kernel_width - 1, output; right >= 0; right--) {
    if (!meets(on->across, conv->left, right * conv->dilation, conv->stride, &output)) continue;
    if (on->first_right == conv->kernel_width) on->least = output;
    on->first_right = right;
    most = output;
  }
  on->reach = on->first_right == conv->kernel_width ? 0 : most - on->least;
  on->pixels = (conv->width - on->across + conv->stride - 1) / conv->stride;
}

/* Rows down, down + stride, ... of this thread's part. */
static void gather_block(const Context *ctx, const Gather *on, i64 down, const float *w) {
  const Conv *conv = on->conv;
  float *panels = on->room.panels;
  for (i64 index = on->run; index < on->last; index++) {
    const Run run = run_at(on->runs, index);
    i64 output;
    if (!meets(on->across, conv->left, run.right * conv->dilation, conv->stride, &output)) continue;
    const i64 tap = run.down * conv->kernel_width + run.right;
    const Matrix transposed = {w + tap * conv->own * conv->outputs + run.first, 1, conv->outputs};
    SUFFIX(gemm_pack)(panels, transposed, run.depth, on->columns);
    panels += gemm_packed_floats(run.depth, on->columns);
  }
  i64 begin, end;
  share(ctx, conv->batch * conv->height, 1, &begin, &end);
  for (i64 item = begin; item < end; item++) {
    const i64 row = item % conv->height;
    if (row % conv->stride == down) gather_row(on, item / conv->height, row);
  }
}

/* dx [B, H, W, C] of dy [B, Ho, Wo, O] and w [KH, KW, own, O] */
KERNEL(conv2d_grad_input) {
  const Conv conv = CONV_OF(args);
  if (is_depthwise(&conv)) {
    SUFFIX(depthwise_grad_input)(ctx, &conv, F32(ctx, args->dy), F32(ctx, args->w), F32(ctx, args->dx));
    return;
  }
  const Runs runs = {conv.kernel_height, conv.kernel_width, conv.own_outputs};
  const i64 n = conv.own, step = block_columns(runs.length * count_runs(&runs), n);
  Gather on = {.conv = &conv, .runs = &runs, .room = room_of(ctx)};
  for (i64 column = 0; column < conv.inputs; column += on.columns) {
    const i64 group = column / n, left = (group + 1) * n - column;
    on.columns = left < step ? left : step;
    on.dx = F32(ctx, args->dx) + column;
    on.dy = F32(ctx, args->dy) + group * conv.own_outputs;
    const float *w = F32(ctx, args->w) + column % n * conv.outputs + group * conv.own_outputs;
    for (on.run = 0; on.run < count_runs(&runs); on.run = on.last) {
      on.last = block_runs(&runs, on.run, on.columns);
      for (i64 phase = 0; phase < conv.stride * conv.stride; phase++) {
        on.across = phase % conv.stride;
        if (on.across >= conv.width) continue;
        look_across(&on);
        gather_block(ctx, &on, phase / conv.stride, w);
      }
    }
  }
}

/* ---- dw ------------------------------------------------------------------------------------ */

/* taps [pixels, count]: under output pixels [pixel, pixel + pixels) the elements [first, first + count) of the
 * kernel, counted tap by tap; x begins at the group's channels. */
static void copy_taps(float *taps, const Conv *conv, const float *x, i64 pixel, i64 pixels, i64 first,
                      i64 count) {
  for (i64 p = pixel; p < pixel + pixels; p++) {
    const i64 column = p % conv->out_width, row = p / conv->out_width % conv->out_height;
    const i64 image = p / conv->out_width / conv->out_height;
    for (i64 at = first, run; at < first + count; at += run, taps += run) {
      const i64 tap = at / conv->own, channel = at % conv->own;
      const i64 i = row * conv->stride - conv->top + tap / conv->kernel_width * conv->dilation;
      const i64 j = column * conv->stride - conv->left + tap % conv->kernel_width * conv->dilation;
      run = conv->own - channel < first + count - at ? conv->own - channel : first + count - at;
      if (i < 0 || i >= conv->height || j < 0 || j >= conv->width) {
        fill_floats(taps, 0, run);
      } else {
        const i64 from = (image * conv->height + i) * conv->width + j;
        copy_floats(taps, x + from * conv->inputs + channel, run);
      }
    }
  }
}

/* dw [KH, KW, own, O] = sums over the pixels of x's taps times dy */
KERNEL(conv2d_grad_weight) {
  const Conv conv = CONV_OF(args);
  if (is_depthwise(&conv)) {
    SUFFIX(depthwise_grad_weight)(ctx, &conv, F32(ctx, args->x), F32(ctx, args->dy), F32(ctx, args->dw),
                                  F32(ctx, args->workspace));
    return;
  }
  const i64 n = conv.own_outputs, k = conv.batch * conv.out_height * conv.out_width;
  const i64 m = conv.kernel_height * conv.kernel_width * conv.own, depth = k < BLOCK_K ? k : BLOCK_K;
  const i64 step = block_columns(depth, n), columns = (n + step - 1) / step;
  const i64 rows = (m + PIECE - 1) / PIECE, blocks = (k + BLOCK_K - 1) / BLOCK_K;
  const Room room = room_of(ctx);
  Work work = work_of(ctx, conv.groups * columns * rows, 1);
  for (i64 item; (item = next_item(&work)) >= 0;) {
    const i64 piece = item % rows, group = item / rows / columns;
    const i64 first = m * piece / rows, count = m * (piece + 1) / rows - first;
    const i64 at = item / rows % columns * step, width = n - at < step ? n - at : step;
    const i64 column = group * n + at;
    float *dw = F32(ctx, args->dw) + first * conv.outputs + column;
    for (i64 block = 0; block < blocks; block++) {
      const i64 pixel = k * block / blocks, pixels = k * (block + 1) / blocks - pixel;
      const Matrix dy = {F32(ctx, args->dy) + pixel * conv.outputs + column, conv.outputs, 1};
      copy_taps(room.staged, &conv, F32(ctx, args->x) + group * conv.own, pixel, pixels, first, count);
      SUFFIX(gemm_pack)(room.panels, dy, pixels, width);
      SUFFIX(gemm_panels)(count, width, pixels, (Matrix){room.staged, 1, count}, room.panels, dw,
                          conv.outputs, 1, block > 0, (NextRead){0}, room.product);
    }
  }
}
