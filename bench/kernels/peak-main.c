/* peak-main.c - the native peaks, on request: one line of JSON in, one out.
 *   "fma T S"      the rate of T threads, each S steps
 *   "copy T N R"   the rate of T threads, each copying N floats R times
 * The answer is {"perSecond": operations or bytes (read and written) of all threads together}. The
 * request is read with sscanf out of a JSON object {"do": "..."}. Threads start together.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peak.h"

#define MAX_THREADS 64

typedef struct {
  pthread_barrier_t *start;
  int steps;          /* multiply-adds; 0: copy */
  int count, repeats; /* copy */
  float *memory;      /* 2 * count floats */
  double seconds;
} Share;

static volatile float sink;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *run_share(void *data) {
  Share *share = data;
  /* The first touch of the memory is not part of the measurement. */
  if (share->memory) memset(share->memory, 1, sizeof(float) * 2 * (size_t)share->count);
  pthread_barrier_wait(share->start);
  double start = now();
  if (share->steps > 0) sink = peak_fma(share->steps);
  else peak_copy(share->memory, share->memory + share->count, share->count, share->repeats);
  share->seconds = now() - start;
  return NULL;
}

/* Work per second of all threads, the slowest one's time counting. */
static double rate(int threads, Share request, double work) {
  pthread_t ids[MAX_THREADS];
  Share shares[MAX_THREADS];
  pthread_barrier_t start;
  double slowest = 0;
  pthread_barrier_init(&start, NULL, (unsigned)threads);
  for (int i = 0; i < threads; i++) {
    shares[i] = request;
    shares[i].start = &start;
    if (request.count > 0) {
      shares[i].memory = aligned_alloc(64, sizeof(float) * 2 * (size_t)request.count);
      if (!shares[i].memory) return 0;
    }
    if (pthread_create(&ids[i], NULL, run_share, &shares[i]) != 0) return 0;
  }
  for (int i = 0; i < threads; i++) {
    pthread_join(ids[i], NULL);
    free(shares[i].memory);
    if (shares[i].seconds > slowest) slowest = shares[i].seconds;
  }
  pthread_barrier_destroy(&start);
  return threads * work / slowest;
}

int main(void) {
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    int threads = 0;
    Share share = {0};
    double result = 0;
    int fma = sscanf(line, "{\"do\":\"fma %d %d\"}", &threads, &share.steps) == 2;
    int copy = sscanf(line, "{\"do\":\"copy %d %d %d\"}", &threads, &share.count,
                      &share.repeats) == 3;
    if ((fma || copy) && threads >= 1 && threads <= MAX_THREADS) {
      double work = fma ? (double)share.steps * peak_flops_per_step()
                        : 2.0 * sizeof(float) * share.count * share.repeats;
      result = rate(threads, share, work);
    }
    if (result > 0) printf("{\"perSecond\": %.6g}\n", result);
    else printf("{\"error\": \"expected fma T S or copy T N R with fitting numbers\"}\n");
    fflush(stdout);
  }
  return 0;
}
