/* allocator.h - how the process's C library keeps memory that was freed. */
#ifndef THIMBLE_ALLOCATOR_H
#define THIMBLE_ALLOCATOR_H

#include <stdbool.h>

/* Gives what is free back to the system, and from now on large blocks as soon as they are freed.
 * False where it has no such setting. */
bool return_freed_memory(void);

#endif
