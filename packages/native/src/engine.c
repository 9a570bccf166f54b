/* engine.c - memory, words and runs of one program; see engine.h. */
#include "engine.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "program.h"
#include "steps.h"

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* Behind the arena and behind every scratch: with AddressSanitizer (scripts/sanitize.sh) whoever
 * reaches over is stopped there, otherwise there is no such thing. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { FENCE_BYTES = 4096 };
#else
enum { FENCE_BYTES = 0 };
#define ASAN_POISON_MEMORY_REGION(from, bytes) ((void)(from), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(from, bytes) ((void)(from), (void)(bytes))
#endif

#define DECLARE(variant)                                            \
  void thimble_run_##variant(const Context *ctx, const i32 *words); \
  double thimble_peak_##variant(float *to, const float *from, i32 count, i32 repeats);

#ifdef __x86_64__
DECLARE(avx512)
DECLARE(avx2)
static i32 has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static i32 has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif
DECLARE(base)
static i32 always(void) { return 1; }

const Variant VARIANTS[] = {
#ifdef __x86_64__
    {"avx512", has_avx512, thimble_run_avx512, thimble_peak_avx512},
    {"avx2", has_avx2, thimble_run_avx2, thimble_peak_avx2},
#endif
    {"base", always, thimble_run_base, thimble_peak_base},
    {NULL, NULL, NULL, NULL},
};

usize engine_bytes(const Engine *engine) {
  return engine->arenaBytes + (usize)engine->threads * engine->scratchBytes;
}

/* Arena, then each thread's scratch, each with its fence; never 0. */
static usize mapped_bytes(const Engine *engine) {
  const usize bytes = engine_bytes(engine) + ((usize)engine->threads + 1) * FENCE_BYTES;
  return bytes > 0 ? bytes : 1;
}

static char *scratch_of(const Engine *engine, i32 thread) {
  return engine->memory + engine->arenaBytes + FENCE_BYTES +
         (usize)thread * (engine->scratchBytes + FENCE_BYTES);
}

static void set_fences(const Engine *engine) {
  ASAN_POISON_MEMORY_REGION(engine->memory + engine->arenaBytes, FENCE_BYTES);
  for (i32 thread = 0; thread < engine->threads; thread++) {
    ASAN_POISON_MEMORY_REGION(scratch_of(engine, thread) + engine->scratchBytes, FENCE_BYTES);
  }
}

const char *engine_open(Engine *engine) {
  /* Pages from the system are aligned and zero, and cost nothing before they are touched. */
  const usize bytes = mapped_bytes(engine);
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return "the system refused the memory";
#ifdef MADV_HUGEPAGE
  /* A step reads all of the arena: with pages of 4 KiB each tile misses in the address cache. */
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  engine->memory = memory;
  set_fences(engine);
  void *barrier = NULL;
  if (posix_memalign(&barrier, ALIGNMENT, sizeof(Barrier)) == 0) {
    engine->barrier = memset(barrier, 0, sizeof(Barrier));
    engine->pool = pool_create(engine->threads);
  }
  if (engine->pool) return NULL;
  engine_close(engine);
  return "the system refused to start the threads";
}

void engine_close(Engine *engine) {
  if (engine->pool) pool_destroy(engine->pool);
  if (engine->memory) {
    ASAN_UNPOISON_MEMORY_REGION(engine->memory, mapped_bytes(engine));
    munmap(engine->memory, mapped_bytes(engine));
  }
  for (i32 i = 0; i < engine->entryCount; i++) free(engine->entries[i].words);
  free(engine->entries);
  free(engine->barrier);
  memset(engine, 0, sizeof *engine);
}

/* Words in the arguments of each op, by opcode. */
static const i32 argumentWords[] = {
#define WORDS(opcode, name) [opcode] = sizeof(struct name##_args) / sizeof(i32),
    THIMBLE_OPS(WORDS)
#undef WORDS
};
enum { OPCODES = sizeof argumentWords / sizeof *argumentWords };

/* The operands of each op: its first argument words, of which some may be absent. */
static const struct {
  i32 count;
  uint32_t optional;
} operands[] = {
#define OPERANDS(opcode, count, optional) [opcode] = {count, optional},
    THIMBLE_OPERANDS(OPERANDS)
#undef OPERANDS
};

/* Whether every operand begins inside of the arena, or is absent and may be. */
static bool operands_fit(const Engine *engine, i32 opcode, const i32 *places) {
  const usize end = engine->arenaBytes / ALIGNMENT;
  for (i32 i = 0; i < operands[opcode].count; i++) {
    const bool absent = places[i] == -1 && (operands[opcode].optional >> i & 1) != 0;
    if (!absent && (places[i] < 0 || (usize)places[i] >= end)) return false;
  }
  return true;
}

/* Counts the steps up to OP_END, which must be the last word; returns null or what was expected. */
static const char *count_steps(const Engine *engine, const i32 *words, usize count, i32 *steps) {
  usize at = 0;
  *steps = 0;
  while (at < count && words[at] != OP_END) {
    const i32 opcode = words[at];
    if (opcode < 0 || opcode >= OPCODES) return "opcodes that these kernels know";
    const usize length = (usize)argumentWords[opcode];
    if (count - at < STEP_HEAD || words[at + 1] != argumentWords[opcode]) {
      return "steps as long as their op's arguments";
    }
    if (count - at < STEP_HEAD + length) break;
    const i32 *places = step_arguments(words + at);
    if (!operands_fit(engine, opcode, places)) return "operands inside of the arena";
    at += STEP_HEAD + length;
    *steps += 1;
  }
  return at + 1 == count && words[at] == OP_END ? NULL : "one OP_END, at the end";
}

/* The copy is what is checked: the caller's words may be memory that another thread writes. */
const char *engine_add(Engine *engine, const i32 *words, usize count) {
  if (count > INT32_MAX / 4) return "fewer words";
  Entry entry = {malloc((count + 1) * sizeof(i32)), (i32)count, 0};
  if (!entry.words) return "fewer words than fill the memory";
  if (count > 0) memcpy(entry.words, words, count * sizeof(i32));
  const char *expected = count_steps(engine, entry.words, count, &entry.steps);
  const usize entriesBytes = ((usize)engine->entryCount + 1) * sizeof(Entry);
  Entry *entries = expected ? NULL : realloc(engine->entries, entriesBytes);
  if (!entries) {
    free(entry.words);
    return expected ? expected : "fewer words than fill the memory";
  }
  engine->entries = entries;
  entries[engine->entryCount++] = entry;
  return NULL;
}

/* What the threads of one run share. */
typedef struct {
  Engine *engine;
  const i32 *words;
  /* Profile only: */
  const i32 *entry; /* what `words` has cut up */
  i32 steps;
  double *ms;
} Run;

static Context context_of(Engine *engine, i32 thread) {
  return (Context){
      .arena = engine->memory,
      .scratch = scratch_of(engine, thread),
      .scratchBytes = engine->scratchBytes,
      .thread = thread,
      .threads = engine->threads,
      .barrier = engine->barrier,
      .wait = word_wait,
      .wake = word_wake,
  };
}

static void run_share(void *data, i32 thread) {
  const Run *run = data;
  const Context context = context_of(run->engine, thread);
  run->engine->variant->run(&context, run->words);
}

void engine_run(Engine *engine, const Entry *entry) {
  Run run = {engine, entry->words, NULL, 0, NULL};
  pool_run(engine->pool, run_share, &run);
}

i32 *engine_single_steps(const Entry *entry) {
  i32 *copy = malloc(((usize)entry->count + (usize)entry->steps) * sizeof(i32));
  if (!copy) return NULL;
  i32 *to = copy;
  const i32 *from = entry->words;
  for (i32 step = 0; step < entry->steps; step++) {
    const usize count = (usize)step_words(from);
    memcpy(to, from, count * sizeof(i32));
    to[count] = OP_END;
    to += count + 1;
    from += count;
  }
  return copy;
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* The barrier at the end of a step keeps thread 0's clock honest: all threads have finished it. A
 * step sees what follows it, as in a whole run. */
static void profile_share(void *data, i32 thread) {
  const Run *run = data;
  Context context = context_of(run->engine, thread);
  const i32 *words = run->words;
  context.after = run->entry;
  for (i32 step = 0; step < run->steps; step++) {
    context.after = step_after(context.after);
    const double start = milliseconds();
    run->engine->variant->run(&context, words);
    if (thread == 0) run->ms[step] = milliseconds() - start;
    words = step_after(words) + 1; /* past its OP_END */
  }
}

void engine_profile(Engine *engine, const Entry *entry, const i32 *singleSteps, double *ms) {
  Run run = {engine, singleSteps, entry->words, entry->steps, ms};
  pool_run(engine->pool, profile_share, &run);
}
