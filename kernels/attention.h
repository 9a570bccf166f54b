/* attention.h - how much scratch a thread needs for attention; the planner repeats these formulas.
 *
 * tokens N, head_dim d, tile: query rows at a time. They hold for every target: 32 and 16 are the
 * widest panel and vector, 512 floats the edges.
 * In bytes, up(x, s) = x rounded up to a multiple of s:
 *   forward   4 (d up(N,32) + N up(d,32) + tile up(N,16) + up(tile,16) + up(N,16)
 *                + 16 max(N,d) + 512)
 *   backward  4 (2 d up(N,32) + (N + 2 tile) up(d,32) + 2 tile up(N,16) + up(N,16)
 *                + 16 max(N,d,tile) + 512)
 * For N = 197, d = 64, tile = 64: 175 KB forward, 319 KB backward.
 */
#ifndef THIMBLE_ATTENTION_H
#define THIMBLE_ATTENTION_H

#include "kernel.h"

static inline i64 attention_scratch(i64 tokens, i64 head_dim, i64 tile) {
  i64 longest = tokens > head_dim ? tokens : head_dim;
  i64 panels = head_dim * round_up(tokens, 32) + tokens * round_up(head_dim, 32);
  i64 scores = tile * round_up(tokens, 16) + round_up(tile, 16) + round_up(tokens, 16);
  return 4 * (panels + scores + 16 * longest + 512);
}

static inline i64 attention_grad_scratch(i64 tokens, i64 head_dim, i64 tile) {
  i64 longest = tokens > head_dim ? tokens : head_dim;
  if (tile > longest) longest = tile;
  i64 panels = 2 * head_dim * round_up(tokens, 32) + (tokens + 2 * tile) * round_up(head_dim, 32);
  i64 scores = 2 * tile * round_up(tokens, 16) + round_up(tokens, 16);
  return 4 * (panels + scores + 16 * longest + 512);
}

#endif
