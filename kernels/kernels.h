/* kernels.h - one declaration per opcode of program.h; run.c dispatches to them. */
#ifndef THIMBLE_KERNELS_H
#define THIMBLE_KERNELS_H

#include "kernel.h"
#include "program.h"

#define KERNEL(name) void SUFFIX(kernel_##name)(const Context *ctx, const struct name##_args *args)

KERNEL(adamw);
KERNEL(add);
KERNEL(attention);
KERNEL(attention_grad);
KERNEL(broadcast_tokens);
KERNEL(clip_scale);
KERNEL(concat_tokens);
KERNEL(fill);
KERNEL(gelu);
KERNEL(gelu_grad);
KERNEL(layernorm);
KERNEL(layernorm_grad_input);
KERNEL(layernorm_grad_params);
KERNEL(matmul);
KERNEL(mean_tokens);
KERNEL(pad_tokens);
KERNEL(patchify);
KERNEL(sgd);
KERNEL(slice_tokens);
KERNEL(softmax_cross_entropy);
KERNEL(softmax_cross_entropy_grad);
KERNEL(sum_rows);
KERNEL(sum_squares);

/* Runs an entry: all its steps up to OP_END, by every thread of the executor at once. */
void SUFFIX(thimble_run)(const Context *ctx, const i32 *words);

#endif
