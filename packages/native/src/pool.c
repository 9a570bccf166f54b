/* pool.c - the thread pool, and sleeping on words.
 *
 * Who waits first yields its core a number of times (some hundred microseconds on an idle machine)
 * and then sleeps: the next step or run often follows at once, and where the core is wanted, by the
 * very thread that is waited for or by another program, it is free. Measured on two busy cores,
 * four threads: 1.5 us for a barrier, 500 us when waiting was 4096 pauses before sleep.
 *
 * A wake is a system call, so words are hashed to buckets that count sleepers: without any there is
 * no call. The waker writes the word and then reads the count, the sleeper writes the count and
 * then reads the word, both in sequentially consistent order, so one of them sees the other. Linux
 * sleeps with futexes; elsewhere a mutex and a condition variable in the bucket do the same.
 *
 * Linux wakes a thread on the core of its waker when both have slept, though another core is idle,
 * and there it waits for the next tick: 3.8 ms measured on an idle two-core machine, so that two
 * threads were no faster than one in runs of 20 ms. So each run begins with every thread told its
 * own core (`place`); once awake it may go anywhere again (`release`).
 */
#ifdef __linux__
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { BUCKETS = 64, CACHE_LINE = 64, YIELDS = 1000 };

typedef struct {
  _Alignas(CACHE_LINE) i32 sleepers;
#ifndef __linux__
  pthread_mutex_t mutex;
  pthread_cond_t changed;
#endif
} Bucket;

#ifdef __linux__
static Bucket buckets[BUCKETS];
#else
static Bucket buckets[BUCKETS] = {
    [0 ... BUCKETS - 1] = {0, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER}};
#endif

static Bucket *bucket_of(const i32 *word) {
  return &buckets[(usize)word / CACHE_LINE % BUCKETS];
}

static i32 equals(i32 *word, i32 value) {
  return __atomic_load_n(word, __ATOMIC_SEQ_CST) == value;
}

void word_wait(i32 *word, i32 value) {
  for (i32 i = 0; i < YIELDS; i++) {
    if (!equals(word, value)) return;
    sched_yield();
  }
  Bucket *bucket = bucket_of(word);
  __atomic_fetch_add(&bucket->sleepers, 1, __ATOMIC_SEQ_CST);
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
  pthread_mutex_lock(&bucket->mutex);
  while (equals(word, value)) pthread_cond_wait(&bucket->changed, &bucket->mutex);
  pthread_mutex_unlock(&bucket->mutex);
#endif
  __atomic_fetch_sub(&bucket->sleepers, 1, __ATOMIC_SEQ_CST);
}

void word_wake(i32 *word) {
  Bucket *bucket = bucket_of(word);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (__atomic_load_n(&bucket->sleepers, __ATOMIC_SEQ_CST) == 0) return;
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
  pthread_mutex_lock(&bucket->mutex);
  pthread_cond_broadcast(&bucket->changed);
  pthread_mutex_unlock(&bucket->mutex);
#endif
}

typedef struct {
  Pool *pool;
  i32 thread;
  pthread_t handle;
} Worker;

/* `run` counts the runs, `working` the workers that have not returned from the present one. */
struct Pool {
  _Alignas(CACHE_LINE) i32 run;
  _Alignas(CACHE_LINE) i32 working;
  _Alignas(CACHE_LINE) i32 started;
  PoolFunction function; /* null: end the thread */
  void *data;
#ifdef __linux__
  i32 placed; /* the workers were told their cores for this run */
  cpu_set_t allowed;
#endif
  Worker workers[];
};

/* Waits until *word is not `value`; returns what it is then. */
static i32 await_change(i32 *word, i32 value) {
  for (;;) {
    const i32 now = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (now != value) return now;
    word_wait(word, value);
  }
}

/* Binds each worker to an allowed core of its own, counted from the one that thread 0 is on. */
static void place(Pool *pool) {
#ifdef __linux__
  pool->placed = sched_getaffinity(0, sizeof pool->allowed, &pool->allowed) == 0 &&
                 CPU_COUNT(&pool->allowed) > pool->started;
  if (!pool->placed) return;
  i32 core = sched_getcpu();
  for (i32 i = 0; i < pool->started; i++) {
    do core = (core + 1) % CPU_SETSIZE;
    while (!CPU_ISSET(core, &pool->allowed));
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(core, &own);
    pthread_setaffinity_np(pool->workers[i].handle, sizeof own, &own);
  }
#else
  (void)pool;
#endif
}

/* Lets the calling worker go to any allowed core again. */
static void release(const Pool *pool) {
#ifdef __linux__
  if (pool->placed) sched_setaffinity(0, sizeof pool->allowed, &pool->allowed);
#else
  (void)pool;
#endif
}

static void start_run(Pool *pool, PoolFunction function, void *data) {
  pool->function = function;
  pool->data = data;
  place(pool);
  __atomic_store_n(&pool->working, pool->started, __ATOMIC_RELAXED);
  __atomic_fetch_add(&pool->run, 1, __ATOMIC_RELEASE);
  word_wake(&pool->run);
}

static void *work(void *argument) {
  const Worker *self = argument;
  Pool *pool = self->pool;
  for (i32 run = 0;;) {
    run = await_change(&pool->run, run);
    if (!pool->function) return NULL;
    release(pool);
    pool->function(pool->data, self->thread);
    if (__atomic_sub_fetch(&pool->working, 1, __ATOMIC_ACQ_REL) == 0) word_wake(&pool->working);
  }
}

Pool *pool_create(i32 threads) {
  const usize bytes = sizeof(Pool) + (usize)(threads - 1) * sizeof(Worker);
  Pool *pool = NULL;
  if (posix_memalign((void **)&pool, CACHE_LINE, bytes) != 0) return NULL;
  memset(pool, 0, bytes);
  for (i32 thread = 1; thread < threads; thread++) {
    Worker *worker = &pool->workers[thread - 1];
    worker->pool = pool;
    worker->thread = thread;
    if (pthread_create(&worker->handle, NULL, work, worker) != 0) {
      pool_destroy(pool);
      return NULL;
    }
    pool->started = thread;
  }
  return pool;
}

void pool_run(Pool *pool, PoolFunction function, void *data) {
  start_run(pool, function, data);
  function(data, 0);
  i32 working = __atomic_load_n(&pool->working, __ATOMIC_ACQUIRE);
  while (working != 0) working = await_change(&pool->working, working);
}

void pool_destroy(Pool *pool) {
  start_run(pool, NULL, NULL);
  for (i32 i = 0; i < pool->started; i++) pthread_join(pool->workers[i].handle, NULL);
  free(pool);
}
