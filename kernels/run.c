/* run.c - the interpreter of a program and the barrier between its steps.
 *
 * All threads of an executor run the same words (steps.h), each does its share of a step, and nobody
 * starts the next step before everybody has finished this one.
 */
#include "kernels.h"
#include "steps.h"

/* Spins before sleeping; partners are rarely late. Under WebAssembly a spin is a load (some 2 ns) and
 * nothing can yield: a thread that sleeps may be woken on its waker's core and wait there for the
 * next tick of the system, milliseconds, so it spins for some hundred microseconds first. Natively a
 * spin is a pause of some 30 ns, and ctx->wait yields the core a while before it sleeps. */
#ifdef __wasm__
#define SPINS 131072
#else
#define SPINS 32
#endif

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Waking costs microseconds even where nobody sleeps, so sleepers are counted: the sleeper writes the
 * count and then reads the word, the waker writes the word and then reads the count, and both in
 * sequentially consistent order, so one of them sees the other. */
static void sleep_while(const Context *ctx, Barrier *barrier, i32 generation) {
#if defined(__wasm_atomics__)
  (void)ctx;
  __atomic_add_fetch(&barrier->sleepers, 1, __ATOMIC_SEQ_CST);
  __builtin_wasm_memory_atomic_wait32(&barrier->generation, generation, -1);
  __atomic_sub_fetch(&barrier->sleepers, 1, __ATOMIC_SEQ_CST);
#else
  if (ctx->wait) ctx->wait(&barrier->generation, generation);
#endif
}

static void wake_all(const Context *ctx, Barrier *barrier) {
#if defined(__wasm_atomics__)
  (void)ctx;
  if (__atomic_load_n(&barrier->sleepers, __ATOMIC_SEQ_CST) == 0) return;
  __builtin_wasm_memory_atomic_notify(&barrier->generation, ~0u);
#else
  if (ctx->wake) ctx->wake(&barrier->generation);
#endif
}

/* The last to arrive resets the count and starts a new generation, which releases the others; the
 * count is reset first, so a thread that is already at the next barrier counts from zero. */
void SUFFIX(thimble_barrier)(const Context *ctx) {
  if (ctx->threads == 1) return;
  Barrier *barrier = ctx->barrier;
  i32 generation = __atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == ctx->threads) {
    __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&barrier->claimed, 0, __ATOMIC_RELAXED);
    for (i32 span = 0; barrier->shared && span < MOST_SPANS; span++) barrier->progress[span] = 0;
    __atomic_store_n(&barrier->shared, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&barrier->generation, generation + 1, __ATOMIC_SEQ_CST);
    wake_all(ctx, barrier);
    return;
  }
  for (i32 spin = 0; spin < SPINS; spin++) {
    if (__atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE) != generation) return;
    pause_briefly();
  }
  while (__atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE) == generation) {
    sleep_while(ctx, barrier, generation);
  }
}

#define DISPATCH(OPCODE, name)                                     \
  case OPCODE:                                                     \
    SUFFIX(kernel_##name)(ctx, (const struct name##_args *)words); \
    break;

static void run_step(const Context *ctx, i32 opcode, const i32 *words) {
  switch (opcode) {
    THIMBLE_OPS(DISPATCH)
    default:
      __builtin_trap(); /* program and kernels are of different versions */
  }
}

void SUFFIX(thimble_run)(const Context *ctx, const i32 *words) {
  Context context = *ctx;
  for (const i32 *step = words, *next; !is_end(step); step = next) {
    next = step_after(step);
    context.after = is_end(next) && ctx->after ? ctx->after : next;
    run_step(&context, step[0], step_arguments(step));
    SUFFIX(thimble_barrier)(&context);
  }
}
