/* peak.h - the two measured loops; see peak.c. */
#ifndef THIMBLE_PEAK_H
#define THIMBLE_PEAK_H

/* Floating-point operations of one step of peak_fma; a multiply-add counts two, fused or not. */
int peak_flops_per_step(void);
/* `steps` multiply-adds on every chain; the result only keeps the compiler from dropping them. */
float peak_fma(int steps);
/* Copies `count` floats `repeats` times; count is a multiple of 64. */
void peak_copy(float *to, const float *from, int count, int repeats);

#endif
