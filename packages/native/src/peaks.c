/* peaks.c - one measurement of kernels/peak.c: a pool, memory, one run, and all is gone again.
 *
 * Runs on one of libuv's worker threads, as thread 0 of the pool. Every thread touches its memory
 * first and waits for the others; the slowest one's time counts.
 */
#include "peaks.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

enum { ARGUMENTS = 4, NAME_BYTES = 16, GRAIN_FLOATS = 64 };

/* Bytes that a thread may copy. */
#define MAX_FLOATS (1 << 28)

typedef struct {
  const Variant *variant;
  i32 threads, floats, repeats;
  i32 arrived;
  bool failed; /* a thread had no memory */
  double work; /* of one thread */
  double seconds[MAX_THREADS];
  double perSecond; /* 0: the system refused threads or memory */
  napi_async_work job;
  napi_deferred deferred;
} Measurement;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void measure_share(void *data, i32 thread) {
  Measurement *one = data;
  const usize bytes = 2 * sizeof(float) * (usize)one->floats + ALIGNMENT;
  void *memory = NULL;
  if (posix_memalign(&memory, ALIGNMENT, bytes) != 0) memory = NULL;
  else memset(memory, 1, bytes);
  if (!memory) __atomic_store_n(&one->failed, true, __ATOMIC_RELAXED);
  __atomic_add_fetch(&one->arrived, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&one->arrived, __ATOMIC_ACQUIRE) < one->threads) sched_yield();
  float *to = memory;
  const double start = now();
  if (to) {
    const double work = one->variant->peak(to, to + one->floats, one->floats, one->repeats);
    if (thread == 0) one->work = work;
  }
  one->seconds[thread] = now() - start;
  free(memory);
}

/* On a libuv worker thread: no JavaScript here. */
static void execute(napi_env env, void *data) {
  Measurement *one = data;
  (void)env;
  Pool *pool = pool_create(one->threads);
  if (!pool) return;
  pool_run(pool, measure_share, one);
  pool_destroy(pool);
  double slowest = 1e-9;
  for (i32 i = 0; i < one->threads; i++) {
    if (one->seconds[i] > slowest) slowest = one->seconds[i];
  }
  if (!one->failed) one->perSecond = one->threads * one->work / slowest;
}

/* Back on the JavaScript thread. */
static void complete(napi_env env, napi_status status, void *data) {
  Measurement *one = data;
  napi_value result = NULL, text = NULL;
  if (status == napi_ok && one->perSecond > 0) {
    napi_create_double(env, one->perSecond, &result);
    napi_resolve_deferred(env, one->deferred, result);
  } else {
    const char *message = "the system refused the threads or the memory of a measurement";
    napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
    napi_create_error(env, NULL, text, &result);
    napi_reject_deferred(env, one->deferred, result);
  }
  napi_delete_async_work(env, one->job);
  free(one);
}

/* Reads the arguments; false when one is not what peaks.h says. */
static bool read_arguments(napi_env env, const napi_value *arguments, Measurement *one) {
  char name[NAME_BYTES] = "";
  napi_get_value_string_utf8(env, arguments[0], name, sizeof name, NULL);
  one->variant = VARIANTS;
  while (one->variant->name &&
         (strcmp(one->variant->name, name) != 0 || !one->variant->supported())) {
    one->variant++;
  }
  return one->variant->name &&
         napi_get_value_int32(env, arguments[1], &one->threads) == napi_ok &&
         napi_get_value_int32(env, arguments[2], &one->floats) == napi_ok &&
         napi_get_value_int32(env, arguments[3], &one->repeats) == napi_ok &&
         one->threads >= 1 && one->threads <= MAX_THREADS && one->floats >= 0 &&
         one->floats <= MAX_FLOATS && one->floats % GRAIN_FLOATS == 0 && one->repeats >= 1;
}

napi_value measure_peak(napi_env env, napi_callback_info info) {
  napi_value arguments[ARGUMENTS], promise = NULL, name = NULL;
  size_t count = ARGUMENTS;
  Measurement *one = calloc(1, sizeof *one);
  if (one && napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok &&
      read_arguments(env, arguments, one)) {
    if (napi_create_string_utf8(env, "thimble.peak", NAPI_AUTO_LENGTH, &name) == napi_ok &&
        napi_create_promise(env, &one->deferred, &promise) == napi_ok &&
        napi_create_async_work(env, NULL, name, execute, complete, one, &one->job) == napi_ok &&
        napi_queue_async_work(env, one->job) == napi_ok) {
      return promise;
    }
  }
  free(one);
  napi_throw_range_error(env, NULL,
                         "measurePeak: expected a variant of this machine, threads, a multiple of "
                         "64 floats and repeats");
  return NULL;
}
