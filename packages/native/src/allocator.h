/* allocator.h - how the process's C library keeps memory that was freed. */
#ifndef THIMBLE_ALLOCATOR_H
#define THIMBLE_ALLOCATOR_H

#include <stdbool.h>

/* Makes it give freed memory back to the system at once. False where it has no such setting. */
bool return_freed_memory(void);

#endif
