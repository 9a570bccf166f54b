/* harness.h - an arena, random operands and threads for check.c and bench.c. */
#ifndef THIMBLE_TEST_HARNESS_H
#define THIMBLE_TEST_HARNESS_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../attention.h"
#include "../gemm.h"
#include "../kernels.h"
#include "guards.h"

#define ARENA_BYTES (64u << 20)
#define SCRATCH_BYTES (8u << 20)
#define MAX_THREADS 4
#define CANARY 0x5a

typedef struct {
  char *base;
  size_t used;
  Guards guards;
} Arena;

static inline Arena arena_new(void) {
  return (Arena){.base = aligned_alloc(64, ARENA_BYTES)};
}
static inline void arena_free(Arena *arena) { free(arena->base); }
static inline float *at(const Arena *arena, int offset) {
  return offset < 0 ? 0 : (float *)(arena->base + (size_t)offset * 64);
}

static unsigned long long random_state = 88172645463325252ull;
static inline unsigned next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (unsigned)(random_state >> 20);
}

/* `count` floats in [-1, 1); returns the offset in units of 64 bytes. */
static inline int arena_random(Arena *arena, size_t count) {
  int offset = (int)(arena->used / 64);
  const size_t end = arena->used + count * 4;
  arena->used += (count * 4 + 63) / 64 * 64;
  if (arena->used + GUARD_BYTES > ARENA_BYTES) abort();
  for (float *p = at(arena, offset); p < (float *)(arena->base + arena->used); p++) {
    *p = (float)(next_random() & 0xffff) / 32768.0f - 1.0f;
  }
  arena->used += GUARD_BYTES;
  guards_add(&arena->guards, end, arena->used);
  return offset;
}

typedef void (*Kernel)(const Context *ctx, const void *args);
typedef struct {
  Context ctx;
  Kernel kernel;
  const void *args;
  int repeats;
} Job;

static char *scratch_of[MAX_THREADS];
/* What the kernel may use; the byte after it must survive. */
static size_t scratch_limit = GEMM_SCRATCH_BYTES;

static void futex_wait(i32 *word, i32 value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}
static void futex_wake(i32 *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, 0, 0, 0);
}

static inline void *run_job(void *job) {
  const Job *j = job;
  for (int i = 0; i < j->repeats; i++) {
    j->kernel(&j->ctx, j->args);
    SUFFIX(thimble_barrier)(&j->ctx);
  }
  return 0;
}

static inline void run_repeated(Arena *arena, int threads, Kernel kernel, const void *args,
                                int repeats) {
  Barrier barrier = {0, 0};
  guards_set(&arena->guards, arena->base);
  Job jobs[MAX_THREADS] = {0};
  pthread_t ids[MAX_THREADS];
  for (int t = 0; t < threads; t++) {
    if (!scratch_of[t]) scratch_of[t] = aligned_alloc(64, SCRATCH_BYTES);
    memset(scratch_of[t] + scratch_limit, CANARY, 64);
    Context ctx = {.arena = arena->base, .scratch = scratch_of[t], .scratchBytes = scratch_limit,
                   .thread = t, .threads = threads, .barrier = &barrier, .wait = futex_wait,
                   .wake = futex_wake};
    jobs[t] = (Job){ctx, kernel, args, repeats};
    if (t > 0) pthread_create(&ids[t], 0, run_job, &jobs[t]);
  }
  run_job(&jobs[0]);
  for (int t = 1; t < threads; t++) pthread_join(ids[t], 0);
  guards_lift(&arena->guards, arena->base);
  for (int t = 0; t < threads; t++) {
    for (int i = 0; i < 64; i++) {
      if (scratch_of[t][scratch_limit + i] == CANARY) continue;
      printf("FAIL: a kernel wrote beyond its %zu bytes of scratch\n", scratch_limit);
      exit(1);
    }
  }
}
static inline void run_threads(Arena *arena, int threads, Kernel kernel, const void *args) {
  run_repeated(arena, threads, kernel, args, 1);
}

#endif
