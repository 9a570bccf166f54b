/* guards.h - with AddressSanitizer (scripts/sanitize.sh) a kernel that touches a byte between its
 * operands is stopped; without it this is nothing. A guard begins with the first byte behind an
 * operand's last element, so that reading the rest of a vector is found too.
 */
#ifndef THIMBLE_TEST_GUARDS_H
#define THIMBLE_TEST_GUARDS_H

#include <stddef.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
/* Behind every operand, besides what is left of its last 64 bytes. */
#define GUARD_BYTES 64
#else
#define GUARD_BYTES 0
#define ASAN_POISON_MEMORY_REGION(from, bytes) ((void)(from), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(from, bytes) ((void)(from), (void)(bytes))
#endif

enum { MAX_GUARDS = 512 };

/* Bytes of an arena, [from, to). */
typedef struct {
  size_t from[MAX_GUARDS], to[MAX_GUARDS];
  int count;
} Guards;

static inline void guards_add(Guards *guards, size_t from, size_t to) {
  if (GUARD_BYTES == 0) return;
  if (guards->count == MAX_GUARDS) abort();
  guards->from[guards->count] = from;
  guards->to[guards->count++] = to;
}

static inline void guards_set(const Guards *guards, char *arena) {
  for (int i = 0; i < guards->count; i++) {
    ASAN_POISON_MEMORY_REGION(arena + guards->from[i], guards->to[i] - guards->from[i]);
  }
}
static inline void guards_lift(const Guards *guards, char *arena) {
  for (int i = 0; i < guards->count; i++) {
    ASAN_UNPOISON_MEMORY_REGION(arena + guards->from[i], guards->to[i] - guards->from[i]);
  }
}

#endif
