/**
 * arena: places blocks of memory with known lifetimes so that live ones never overlap.
 *
 * Greedy by size: the largest block first, each at the lowest offset that is free during its life (Pisarchyk
 * & Lee, Efficient memory management for deep neural net inference, 2020, "greedy by size"). Two other
 * orders are tried as well and the smallest arena wins. The lower bound is the largest sum of live bytes.
 */

export interface Block {
  readonly bytes: number;
  /** Steps between which it is live, inclusive. */
  readonly first: number;
  readonly last: number;
}

export interface Placement {
  /** Offset of every block, a multiple of the alignment. */
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/** Places `blocks`, each rounded up to `alignment` bytes. */
export function placeBlocks(blocks: readonly Block[], alignment: number): Placement {
  const size = (block: Block) => Math.ceil(block.bytes / alignment) * alignment;
  const span = (block: Block) => block.last - block.first;
  const orders: ((a: Block, b: Block) => number)[] = [
    (a, b) => size(b) - size(a) || a.first - b.first,
    (a, b) => span(b) - span(a) || size(b) - size(a) || a.first - b.first,
    (a, b) => size(b) * (span(b) + 1) - size(a) * (span(a) + 1) || a.first - b.first,
  ];
  const bound = liveBytes(blocks, alignment).reduce((most, bytes) => Math.max(most, bytes), 0);
  let best: Placement | null = null;
  for (const order of orders) {
    const placement = placeInOrder(blocks, size, order);
    if (best === null || placement.bytes < best.bytes) best = placement;
    if (best.bytes === bound) break;
  }
  return best ?? { offsets: [], bytes: 0 };
}

/** Sum of the bytes that are live at each step: what no placement can go below. */
export function liveBytes(blocks: readonly Block[], alignment: number): readonly number[] {
  const steps = blocks.reduce((most, block) => Math.max(most, block.last + 1), 0);
  const changes = new Float64Array(steps + 1);
  for (const block of blocks) {
    const bytes = Math.ceil(block.bytes / alignment) * alignment;
    changes[block.first] += bytes;
    changes[block.last + 1] -= bytes;
  }
  let live = 0;
  return Array.from(changes.subarray(0, steps), (change) => (live += change));
}

function placeInOrder(
  blocks: readonly Block[],
  size: (block: Block) => number,
  order: (a: Block, b: Block) => number,
): Placement {
  const offsets = new Array<number>(blocks.length).fill(0);
  const indices = blocks.map((_, index) => index);
  indices.sort((a, b) => order(blocks[a], blocks[b]) || a - b);
  /** Placed blocks by ascending offset. */
  const placed: number[] = [];
  let bytes = 0;
  for (const index of indices) {
    const block = blocks[index];
    let offset = 0;
    for (const other of placed) {
      if (blocks[other].last < block.first || blocks[other].first > block.last) continue;
      if (offset + size(block) <= offsets[other]) break;
      offset = Math.max(offset, offsets[other] + size(blocks[other]));
    }
    offsets[index] = offset;
    bytes = Math.max(bytes, offset + size(block));
    const at = placed.findIndex((other) => offsets[other] > offset);
    placed.splice(at < 0 ? placed.length : at, 0, index);
  }
  return { offsets, bytes };
}
