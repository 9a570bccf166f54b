/* conv.h - sizes of a convolution and the memory of its kernels; conv.c says how they work.
 *
 * Legend: images of H x W pixels of C channels, a kernel of KH x KW taps, G groups of own = C / G channels
 * and O / G outputs, an output of Ho x Wo pixels of O channels.
 */
#ifndef THIMBLE_CONV_H
#define THIMBLE_CONV_H

#include "gemm.h"

/* Rows of the weights' gradient that one thread sums at a time; conv2d-scratch.ts has room for them. */
#define PIECE 96

typedef struct {
  i64 batch, height, width, inputs;
  i64 out_height, out_width, outputs;
  i64 kernel_height, kernel_width, stride, dilation, groups, top, left;
  i64 own, own_outputs; /* of a group */
} Conv;

#define CONV_OF(args)                                                                              \
  {                                                                                                \
    .batch = (args)->batch, .height = (args)->height, .width = (args)->width,                      \
    .inputs = (args)->inputs, .out_height = (args)->out_height, .out_width = (args)->out_width,    \
    .outputs = (args)->outputs, .kernel_height = (args)->kernel_height,                            \
    .kernel_width = (args)->kernel_width, .stride = (args)->stride, .dilation = (args)->dilation,  \
    .groups = (args)->groups, .top = (args)->pad_top, .left = (args)->pad_left,                    \
    .own = (args)->inputs / (args)->groups, .own_outputs = (args)->outputs / (args)->groups,       \
  }

/* Convolution with one channel in each group (depthwise.c): x and y [B, H, W, C], w [KH, KW, C]. */
static inline i32 is_depthwise(const Conv *conv) { return conv->own == 1 && conv->own_outputs == 1; }

void SUFFIX(depthwise)(const Context *ctx, const Conv *conv, const float *x, const float *w,
                       const float *bias, float *y);
void SUFFIX(depthwise_grad_input)(const Context *ctx, const Conv *conv, const float *dy, const float *w,
                                  float *dx);
/* workspace: CHUNKS * KH * KW * C floats */
void SUFFIX(depthwise_grad_weight)(const Context *ctx, const Conv *conv, const float *x, const float *dy,
                                   float *dw, float *workspace);

#endif
