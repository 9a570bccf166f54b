/* peak.h - what this machine can do at best; see peak.c. */
#ifndef THIMBLE_PEAK_H
#define THIMBLE_PEAK_H

#include "kernel.h"

/* Runs one of two loops on the calling thread and returns its work:
 *   count > 0   copies `count` floats `repeats` times; bytes read and written. A multiple of 64
 *   count = 0   `repeats` multiply-adds on every chain; operations, two for each multiply-add.
 *               `to` is one float, which keeps the compiler from dropping them */
double SUFFIX(thimble_peak)(float *to, const float *from, i32 count, i32 repeats);

#endif
