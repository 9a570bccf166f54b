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
  let best: Placement = { offsets: [], bytes: Infinity };
  for (const order of orders) {
    best = placeInOrder(blocks, size, order, best.bytes) ?? best;
    if (best.bytes === bound) break;
  }
  return best;
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

/** null where it takes `most` bytes or more. */
function placeInOrder(
  blocks: readonly Block[],
  size: (block: Block) => number,
  order: (a: Block, b: Block) => number,
  most: number,
): Placement | null {
  const offsets = new Array<number>(blocks.length).fill(0);
  const sizes = blocks.map(size);
  const indices = blocks.map((_, index) => index);
  indices.sort((a, b) => order(blocks[a], blocks[b]) || a - b);
  const placed = new Timeline(blocks);
  let bytes = 0;
  for (const index of indices) {
    const block = blocks[index];
    const others = placed.during(block).sort((a, b) => offsets[a] - offsets[b]);
    let offset = 0;
    for (const other of others) {
      if (offset + sizes[index] <= offsets[other]) break;
      offset = Math.max(offset, offsets[other] + sizes[other]);
    }
    offsets[index] = offset;
    bytes = Math.max(bytes, offset + sizes[index]);
    if (bytes >= most) return null;
    placed.add(index);
  }
  return { offsets, bytes };
}

/** Steps whose blocks are listed together: most blocks live for fewer. */
const SPAN = 32;

/** Blocks by the time at which they live: few of a long program's are looked at for each. */
class Timeline {
  private readonly blocks: readonly Block[];
  /** Those that live in steps [SPAN i, SPAN (i + 1)). */
  private readonly spans: number[][] = [];
  /** The last block for which each was found, so that it is found once. */
  private readonly seen: Int32Array;
  private asked = 0;

  constructor(blocks: readonly Block[]) {
    this.blocks = blocks;
    this.seen = new Int32Array(blocks.length);
  }

  add(index: number): void {
    const { first, last } = this.blocks[index];
    for (let at = Math.floor(first / SPAN); at <= last / SPAN; at++) {
      (this.spans[at] ??= []).push(index);
    }
  }

  /** The blocks that live at some step at which `block` does. */
  during({ first, last }: Block): number[] {
    const found: number[] = [];
    this.asked++;
    for (let at = Math.floor(first / SPAN); at <= last / SPAN; at++) {
      for (const index of this.spans[at] ?? []) {
        const other = this.blocks[index];
        if (this.seen[index] === this.asked || other.last < first || other.first > last) continue;
        this.seen[index] = this.asked;
        found.push(index);
      }
    }
    return found;
  }
}
