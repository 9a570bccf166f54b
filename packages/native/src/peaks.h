/* peaks.h - kernels/peak.c on the threads of a pool, as a JavaScript function. */
#ifndef THIMBLE_PEAKS_H
#define THIMBLE_PEAKS_H

#include <node_api.h>

/* measurePeak(variant, threads, floats, repeats): Promise<number>, the work per second of all
 * threads together; with 0 floats that of multiply-adds, else of copies of as many floats each. */
napi_value measure_peak(napi_env env, napi_callback_info info);

#endif
