/* kernels.h - one declaration per opcode of program.h; run.c dispatches to them. */
#ifndef THIMBLE_KERNELS_H
#define THIMBLE_KERNELS_H

#include "kernel.h"
#include "program.h"

#define KERNEL(name) void SUFFIX(kernel_##name)(const Context *ctx, const struct name##_args *args)

#define THIMBLE_DECLARE(OPCODE, name) KERNEL(name);
THIMBLE_OPS(THIMBLE_DECLARE)

/* Runs an entry: all its steps up to OP_END, by every thread of the executor at once. */
void SUFFIX(thimble_run)(const Context *ctx, const i32 *words);

#endif
