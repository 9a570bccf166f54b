/* pool.h - threads that call one function together and sleep in between.
 *
 * The thread that calls pool_run is thread 0 and works along. A pool is used by one caller at a
 * time; different pools are independent. Threads sleep on the value of a word (a futex), and the
 * kernels' barrier does so too.
 */
#ifndef THIMBLE_POOL_H
#define THIMBLE_POOL_H

#include "kernel.h"

typedef struct Pool Pool;
typedef void (*PoolFunction)(void *data, i32 thread);

/* Starts threads - 1 threads; null when the system refuses. */
Pool *pool_create(i32 threads);
/* Calls function(data, thread) on all threads at once; returns when all have returned. */
void pool_run(Pool *pool, PoolFunction function, void *data);
/* Ends the threads; not while pool_run is under way. */
void pool_destroy(Pool *pool);

/* Sleeps while *word == value; may return early. The waker changes *word, then calls word_wake. */
void word_wait(i32 *word, i32 value);
void word_wake(i32 *word);

#endif
