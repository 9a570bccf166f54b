/* engine.h - one loaded program: its memory, its threads, its entries as words for the kernels.
 *
 * Memory is one zeroed block: the arena, then each thread's scratch. Nothing is allocated by a run.
 * Knows nothing of JavaScript; addon.c is the door.
 */
#ifndef THIMBLE_ENGINE_H
#define THIMBLE_ENGINE_H

#include "kernel.h"
#include "pool.h"

enum { ALIGNMENT = 64, MAX_THREADS = 256 };

/* The kernels compiled for one instruction set. */
typedef struct {
  const char *name;
  i32 (*supported)(void); /* by this machine */
  void (*run)(const Context *ctx, const i32 *words);
  double (*peak)(float *to, const float *from, i32 count, i32 repeats); /* kernels/peak.h */
} Variant;

/* Fastest first, closed by a null name. */
extern const Variant VARIANTS[];

typedef struct {
  i32 *words;
  i32 count; /* words, OP_END included */
  i32 steps;
} Entry;

typedef struct {
  char *memory;
  usize arenaBytes, scratchBytes; /* multiples of ALIGNMENT; scratch is per thread */
  i32 threads;
  const Variant *variant;
  Pool *pool;
  Barrier *barrier;
  Entry *entries;
  i32 entryCount;
} Engine;

/* Fills in *engine; returns null, or why the system refused. */
const char *engine_open(Engine *engine);
/* All bytes of arena and scratch. */
usize engine_bytes(const Engine *engine);
/* Frees what engine_open and engine_add allocated; twice is once. */
void engine_close(Engine *engine);

/* Copies an entry's words and counts its steps; returns null, or what it expected instead: known
 * opcodes, steps of their lengths, one OP_END at the end, operands that begin inside of the arena.
 * How far a kernel reaches from there its scalars say, and those are not checked. */
const char *engine_add(Engine *engine, const i32 *words, usize count);

/* Blocks the caller, which is thread 0, until the entry has run. */
void engine_run(Engine *engine, const Entry *entry);
/* Copy of an entry with OP_END after every step, for engine_profile; null without memory. */
i32 *engine_single_steps(const Entry *entry);
/* Runs the entry step by step, cut up as above; ms[i] becomes the milliseconds of step i. */
void engine_profile(Engine *engine, const Entry *entry, const i32 *singleSteps, double *ms);

#endif
