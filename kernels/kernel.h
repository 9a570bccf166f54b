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

/* Pieces of one step's work whose progress threads share. */
#define MOST_SPANS 64

/* One barrier for all threads of one executor; zero-initialised, lives outside the arena. `claimed`
 * counts the pieces of work that have been taken since the last barrier, `progress` says how far
 * spans of rows are (rows.h) where rows were `shared` since, `sleepers` counts the threads that may
 * have to be woken (under WebAssembly; ctx->wake knows by itself). */
typedef struct {
  i32 arrived;
  i32 generation;
  i32 claimed;
  i32 sleepers;
  i32 shared;
  i32 progress[MOST_SPANS] __attribute__((aligned(64))); /* threads spin on the line above */
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
  const i32 *after; /* the words of the steps that follow, or null */
} Context;

/* packages/core/src/executors/wasm/layout.ts leaves this much room. */
_Static_assert(sizeof(Barrier) == 320 && sizeof(Context) <= 64, "layout.ts has other sizes");

void SUFFIX(thimble_barrier)(const Context *ctx);

/* Offsets in program words are in units of 64 bytes; -1 means that the optional operand is absent. */
static inline void *operand(const Context *ctx, i32 offset) {
  return offset < 0 ? (void *)0 : (void *)(ctx->arena + (usize)offset * 64);
}
#define F32(ctx, offset) ((float *)operand((ctx), (offset)))
#define I32(ctx, offset) ((i32 *)operand((ctx), (offset)))

static inline i64 round_up(i64 x, i64 step) { return (x + step - 1) / step * step; }

/* The next piece of this step's work that no thread has yet: 0, 1, 2, ... from one barrier to the
 * next. Cores are rarely equally fast: one may be a smaller kind, or share its units with another
 * program. Which thread takes a piece may differ from run to run, what becomes of it must not. */
static inline i64 claim(const Context *ctx) {
  return __atomic_fetch_add(&ctx->barrier->claimed, 1, __ATOMIC_RELAXED);
}

/* [*begin, *end): this thread's part of `count` items, in whole multiples of `grain`. */
static inline void share(const Context *ctx, i64 count, i64 grain, i64 *begin, i64 *end) {
  i64 blocks = (count + grain - 1) / grain;
  i64 b = blocks * ctx->thread / ctx->threads * grain, e = blocks * (ctx->thread + 1) / ctx->threads * grain;
  *begin = b < count ? b : count;
  *end = e < count ? e : count;
}

/* Items of work, 0 <= item < count, `unit` neighbours to one thread: claimed where there are enough
 * of them, else this thread's part.
 *   Work work = work_of(ctx, count, unit);
 *   for (i64 item; (item = next_item(&work)) >= 0;) ... */
typedef struct {
  const Context *ctx; /* null: nothing is claimed */
  i64 next, end, count, unit;
} Work;

static inline Work work_of(const Context *ctx, i64 count, i64 unit) {
  Work work = {ctx, 0, 0, count, unit};
  if (ctx->threads > 1 && ctx->barrier && count / unit >= 4 * ctx->threads) return work;
  share(ctx, count, 1, &work.next, &work.end);
  work.ctx = (const Context *)0;
  return work;
}

/* The unit, item / unit, that this thread will probably have after that of `item`: threads that are
 * equally fast claim in turns. May be beyond the last. */
static inline i64 likely_unit(const Work *work, i64 item) {
  return item / work->unit + (work->ctx ? work->ctx->threads : 1);
}

static inline i64 next_item(Work *work) {
  if (work->next == work->end) {
    if (!work->ctx) return -1;
    work->next = claim(work->ctx) * work->unit;
    if (work->next >= work->count) {
      work->next = work->end;
      work->ctx = (const Context *)0;
      return -1;
    }
    work->end = work->next + work->unit < work->count ? work->next + work->unit : work->count;
  }
  return work->next++;
}

#endif
