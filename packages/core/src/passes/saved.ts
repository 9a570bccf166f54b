/**
 * saved: in which form tensors of the forward pass are saved for the backward pass.
 *
 *   all        everything that a gradient reads, as it is
 *   exact      the same, but what is cheap (GELU, layer norm) is recomputed from what is kept
 *   compact    the same in 8 bits
 *   smallest   of every block its input in 8 bits, from which the block is recomputed (gradient
 *              checkpointing); the rest as compact
 *
 * Bytes that a ViT's block saves for each token under full training, with D width, H heads, R MLP
 * ratio:
 *
 *   all        4((8 + 2R)D + H + 4)     inputs of norms, linears and GELU, qkv, statistics
 *   exact      4((6 + R)D + H)          x, qkv (3D), attention, first sum, MLP before GELU (RD);
 *                                       log-sum-exp
 *   compact    17/16 (6 + R)D + 4H      the same, with a scale for 64 elements
 *   smallest   17/16 D                  x
 *
 * For D = 192, H = 3, R = 4 that is 12316, 7692, 2052 and 204. The backward pass has the copies of
 * one block in float32 at a time. `exact` has the bits of `all`; `smallest` computes the forward
 * pass of every block twice: a third more work.
 */
import type { Node, TrainGraph, ValueId } from '../ir/graph.js';
import { opNamed } from '../ops/index.js';
import { forwardPass, type ForwardPass } from './forward-pass.js';
import { quantiseSaved } from './quantise-saved.js';
import { recompute } from './recompute.js';

/** In what form activations are saved for the backward pass; `SAVED_FORMS` says what each keeps. */
export type SavedForm = 'all' | 'exact' | 'compact' | 'smallest';

/** The forms by name, each with what it keeps. */
export const SAVED_FORMS: {
  readonly [K in SavedForm]: { readonly form: K; readonly summary: string };
} = {
  all: { form: 'all', summary: 'everything that gradients read' },
  exact: { form: 'exact', summary: 'less what is cheap to recompute; the same results' },
  compact: { form: 'compact', summary: 'the same in 8 bits' },
  smallest: { form: 'smallest', summary: 'block inputs in 8 bits; blocks are recomputed' },
};

/** @param blocks name prefixes of the model's blocks */
export function saveAs(form: SavedForm, train: TrainGraph, blocks: readonly string[]): TrainGraph {
  switch (form) {
    case 'all':
      return train;
    case 'exact':
      return recomputeCheap(train);
    case 'compact':
      return quantiseSaved(recomputeCheap(train));
    case 'smallest':
      return quantiseSaved(recomputeBlocks(train, blocks));
  }
  return form satisfies never;
}

/** Recomputes what is cheap from what is saved anyway. */
export function recomputeCheap(train: TrainGraph): TrainGraph {
  return recompute(train, keptWhenCheap(forwardPass(train.graph)));
}

/** Keeps what enters and leaves a block, recomputes what is inside; elsewhere what is cheap. */
export function recomputeBlocks(train: TrainGraph, blocks: readonly string[]): TrainGraph {
  const forward = forwardPass(train.graph);
  const blockOf = (node: Node | undefined) =>
    blocks.find((prefix) => node?.name.startsWith(prefix));
  const keptOutside = keptWhenCheap(forward);
  return recompute(train, (id) => {
    const block = blockOf(forward.producer(id));
    if (block === undefined && forward.saved.has(id)) return keptOutside(id);
    return forward.readers(id).some((node) => blockOf(node) !== block);
  });
}

/** Which saved roots stay when the others are recomputed by cheap ops from them. */
function keptWhenCheap(forward: ForwardPass): (root: ValueId) => boolean {
  const { graph, saved, producer, root } = forward;
  /** Whether a value can be had in the backward pass without keeping more. */
  const isAvailable = (id: ValueId): boolean => {
    const { source, type } = graph.values[id];
    // Images in bytes are fewer than what is computed from them.
    if (source.kind === 'input') return saved.has(id) || type.dtype === 'i8';
    if (source.kind !== 'node') return true;
    return saved.has(root(id)) || isCheap(id);
  };
  const isCheap = (id: ValueId): boolean => {
    const node = producer(id);
    if (!node || !forward.canRepeat(node) || opNamed(node.op).recompute !== 'cheap') return false;
    return Object.values(node.inputs).every(isAvailable);
  };
  const repeated = new Set<Node>();
  const repeat = (id: ValueId): void => {
    const node = producer(id);
    if (!node) return;
    repeated.add(node);
    for (const input of Object.values(node.inputs)) if (!saved.has(root(input))) repeat(input);
  };
  for (const id of saved) if (!isStatistic(forward, id) && isCheap(id)) repeat(id);
  return (id) => {
    const node = producer(id);
    return saved.has(id) && !(node && repeated.has(node));
  };
}

/** A statistic alone is not worth another pass over what it sums up. */
function isStatistic({ producer }: ForwardPass, id: ValueId): boolean {
  const node = producer(id);
  if (!node) return false;
  return (opNamed(node.op).keepExact ?? []).some((key) => node.outputs[key] === id);
}
