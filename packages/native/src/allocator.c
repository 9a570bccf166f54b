/* allocator.c - glibc's malloc keeps a heap for every thread, and after one large block was freed
 * takes all that are not larger from these heaps, whose freed parts it keeps. In a process that
 * decodes images on several threads and loads programs one after the other that is tens of
 * megabytes. Smaller blocks leave holes in a heap, whose pages only a trim gives back. Other C
 * libraries are left as they are.
 */
#include "allocator.h"

#include <stdlib.h> /* defines __GLIBC__ where it is that */

#ifdef __GLIBC__
#include <malloc.h>

/* Blocks from here on are mapped by themselves and unmapped when freed. */
enum { LARGE_BYTES = 1 << 20 };

bool return_freed_memory(void) {
  const bool set = mallopt(M_ARENA_MAX, 1) && mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) &&
                   mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
  malloc_trim(0); /* tells whether there was anything to give back */
  return set;
}
#else
bool return_freed_memory(void) { return false; }
#endif
