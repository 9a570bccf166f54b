/* kernel.h - what every kernel sees: the execution context, operand access and the work split.
 *
 * A kernel is SPMD: all threads call it with the same arguments and each does its share; run.c puts a barrier after
 * every step. The split may depend on (thread, threads), the bits of the result may not: every output element is
 * computed by one thread with an order of operations that is fixed by the shapes alone.
 * Freestanding C11: no libc, no allocation, no globals. The same sources are compiled to WebAssembly and, once per
 * instruction set, into the native addon (SUFFIX keeps the variants' symbols apart).
 */
#ifndef THIMBLE_KERNEL_H
#define THIMBLE_KERNEL_H

#ifndef VARIANT
#define VARIANT base
#endif
#define THIMBLE_JOIN2(a, b) a##_##b
#define THIMBLE_JOIN(a, b) THIMBLE_JOIN2(a, b)
#define SUFFIX(name) THIMBLE_JOIN(name, VARIANT)

typedef __SIZE_TYPE__ usize;
typedef int i32;
typedef long long i64;

/* One barrier for all threads of one executor; zero-initialised, lives outside the arena. */
typedef struct {
  i32 arrived;
  i32 generation;
} Barrier;

typedef struct Context {
  char *arena;       /* operands: arena + 64 * offset */
  char *scratch;     /* this thread's private scratch, 64-byte aligned */
  usize scratchBytes;
  i32 thread, threads;
  Barrier *barrier;
  /* native only: sleep while *word == value / wake all sleepers; null under WebAssembly */
  void (*wait)(i32 *word, i32 value);
  void (*wake)(i32 *word);
} Context;

void SUFFIX(thimble_barrier)(const Context *ctx);

/* Offsets in program words are in units of 64 bytes; -1 means that the optional operand is absent. */
static inline void *operand(const Context *ctx, i32 offset) {
  return offset < 0 ? (void *)0 : (void *)(ctx->arena + (usize)offset * 64);
}
#define F32(ctx, offset) ((float *)operand((ctx), (offset)))
#define I32(ctx, offset) ((i32 *)operand((ctx), (offset)))

static inline i64 round_up(i64 x, i64 step) { return (x + step - 1) / step * step; }

/* [*begin, *end): this thread's part of `count` items, in whole multiples of `grain`. */
static inline void share(const Context *ctx, i64 count, i64 grain, i64 *begin, i64 *end) {
  i64 blocks = (count + grain - 1) / grain;
  i64 b = blocks * ctx->thread / ctx->threads * grain, e = blocks * (ctx->thread + 1) / ctx->threads * grain;
  *begin = b < count ? b : count;
  *end = e < count ? e : count;
}

#endif
