/* rows.h - work stealing over the rows of a product: which rows a thread computes, sweep by sweep.
 *
 * A product goes over its rows once for every block of k (a sweep), and a sweep goes on with the
 * sums of the sweep before. Cores are rarely equally fast, and not for long; so most of the rows are
 * not bound to a thread, not even from one sweep to the next: who is done steals from the others.
 * Which thread computes a row may differ from run to run, its bits do not.
 */
#ifndef THIMBLE_ROWS_H
#define THIMBLE_ROWS_H

#include "gemm.h"

/* Work in sweeps over spans, where a sweep goes on with what the sweep before left of the same
 * span, whoever that was. take_sweep: whether this thread shall do `sweep` of the span, which nobody has
 * begun while the sweep before is done; then end_sweep. A thread that finds the sweep before still
 * going on need not wait: whoever is at it comes to this sweep too. */
static inline i32 take_sweep(const Context *ctx, i64 span, i64 sweep) {
  i32 expected = (i32)(2 * sweep);
  return __atomic_compare_exchange_n(&ctx->barrier->progress[span], &expected, expected + 1, 0,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}
/* Whether take_sweep would succeed now. */
static inline i32 is_open(const Context *ctx, i64 span, i64 sweep) {
  return __atomic_load_n(&ctx->barrier->progress[span], __ATOMIC_RELAXED) == (i32)(2 * sweep);
}
static inline void end_sweep(const Context *ctx, i64 span, i64 sweep) {
  __atomic_store_n(&ctx->barrier->progress[span], (i32)(2 * sweep + 2), __ATOMIC_RELEASE);
}

/* The rows of a product that this thread computes: those that are given to it, and spans that it
 * takes where threads share rows. The rows are cut into `shares`, each into a given half (where there
 * are several) and `each` spans. A thread takes half of what is left of its own share at a time and
 * then steals single spans of others, from the last on. */
typedef struct {
  const Context *ctx; /* null: nothing is shared */
  i64 begin, end;     /* given to this thread */
  i64 m, shares, each;
  i64 own;   /* this thread's share; -1: it only steals */
  i64 first; /* where in the barrier the spans' progress is, and how far from share to share: */
  i64 apart; /* mostly on lines of their own */
} Rows;

/* What next_span returned last. */
typedef struct {
  i64 begin, end;
  i64 after; /* rows behind them that this thread probably has next */
  i64 at;    /* how many spans were looked at */
  i64 taken, count; /* the first and how many; none: the rows were given */
} Span;

static Rows given_rows(i64 begin, i64 end) { return (Rows){.begin = begin, .end = end}; }

/* Rows of which this thread has the share `own`, in at most `each` spans of each share; none given. */
static Rows shared_rows(const Context *ctx, i64 m, i64 shares, i64 own, i64 each) {
  const i64 apart = MOST_SPANS / ctx->threads;
  __atomic_store_n(&ctx->barrier->shared, 1, __ATOMIC_RELAXED);
  return (Rows){ctx, 0, 0, m, shares, each < apart ? each : apart, own, 0, apart};
}

/* Rows of a share before its span `at`; at = each: the end of the share. */
static i64 span_begin(const Rows *rows, i64 share, i64 at) {
  const i64 bands = rows->m / TILE_ROWS;
  const i64 first = bands * share / rows->shares, last = bands * (share + 1) / rows->shares;
  const i64 given = rows->shares > 1 ? (last - first) / 2 : 0;
  const i64 band = first + given + (last - first - given) * at / rows->each;
  return band == bands ? rows->m : band * TILE_ROWS;
}

/* The next rows that this thread computes in `sweep`; before the first, *span is zero. */
static i32 next_span(const Rows *rows, i64 sweep, Span *span) {
  const i64 each = rows->each;
  if (span->at == 0) {
    const i32 shares = rows->ctx && rows->own >= 0;
    const i64 after = shares ? span_begin(rows, rows->own, each) - rows->end : 0;
    *span = (Span){rows->begin, rows->end, after, 1, 0, 0};
    if (span->begin < span->end) return 1;
  }
  for (; span->count > 0; span->count--) end_sweep(rows->ctx, span->taken++, sweep);
  while (rows->ctx && span->at <= rows->shares * each) {
    const i64 tried = span->at++ - 1;
    const i32 own = rows->own >= 0 && tried < each;
    const i64 share = ((rows->own >= 0 ? rows->own : 0) + tried / each) % rows->shares;
    const i64 i = own ? tried : each - 1 - tried % each, most = own ? (each - tried + 1) / 2 : 1;
    span->taken = rows->first + share * rows->apart + i;
    while (span->count < most && take_sweep(rows->ctx, span->taken + span->count, sweep)) {
      span->count++;
    }
    if (span->count == 0) continue;
    span->at += span->count - 1;
    span->begin = span_begin(rows, share, i);
    span->end = span_begin(rows, share, i + span->count);
    span->after = own ? span_begin(rows, share, each) - span->end : 0;
    return 1;
  }
  return 0;
}

/* Whether a thread that steals shall take part in `sweep`: always where it `took` rows in the sweep
 * before, since it may be the only one left that goes on with them; else where enough is open to
 * make up for packing. */
static i32 is_worth_stealing(const Rows *rows, i64 sweep, i32 took) {
  enum { WORTHWHILE = 4 * TILE_ROWS };
  i64 open = 0;
  for (i64 i = 0; i < rows->each; i++) {
    if (!is_open(rows->ctx, rows->first + i, sweep)) continue;
    if (took) return 1;
    open += span_begin(rows, 0, i + 1) - span_begin(rows, 0, i);
  }
  return open >= WORTHWHILE;
}

#endif
