/** What is counted: register tiles of several shapes, and the products of one training step. */

export interface TileCase {
  /** Function in kernels/test/count.c. */
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly how: string;
}

const tile = (kind: 'lanes' | 'elements', rows: number, vectors: number): TileCase => ({
  name: `${kind}_${rows}x${vectors}`,
  rows,
  cols: 4 * vectors,
  how: kind === 'lanes' ? 'one load for four elements' : 'one load for each element',
});

export const TILES: readonly TileCase[] = [
  tile('elements', 8, 2),
  tile('lanes', 4, 2),
  tile('lanes', 4, 4),
  tile('lanes', 8, 2),
  tile('lanes', 6, 4),
  tile('lanes', 8, 3),
  tile('lanes', 12, 2),
];

/** Registers that a tile needs: accumulators and one step's operands. */
export function registersOf({ rows, cols }: TileCase): number {
  return (rows * cols) / 4 + cols / 4 + Math.ceil(rows / 4);
}

export interface GemmCase {
  readonly label: string;
  readonly form: 'NN' | 'NT' | 'TN';
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly epilogue: 'PLAIN' | 'BIAS' | 'GELU';
}

/** ViT-Ti with one image instead of eight: 197 rows (or a depth of 197) instead of 1576. */
export const GEMMS: readonly GemmCase[] = [
  { label: 'qkv', form: 'NT', m: 197, n: 576, k: 192, epilogue: 'BIAS' },
  { label: 'proj', form: 'NT', m: 197, n: 192, k: 192, epilogue: 'BIAS' },
  { label: 'fc1', form: 'NT', m: 197, n: 768, k: 192, epilogue: 'GELU' },
  { label: 'fc2', form: 'NT', m: 197, n: 192, k: 768, epilogue: 'BIAS' },
  { label: 'fc1 dx', form: 'NN', m: 197, n: 192, k: 768, epilogue: 'PLAIN' },
  { label: 'fc2 dx', form: 'NN', m: 197, n: 768, k: 192, epilogue: 'PLAIN' },
  { label: 'qkv dw', form: 'TN', m: 576, n: 192, k: 197, epilogue: 'PLAIN' },
  { label: 'fc1 dw', form: 'TN', m: 768, n: 192, k: 197, epilogue: 'PLAIN' },
];

export function gemmWords({ form, m, n, k, epilogue }: GemmCase): readonly string[] {
  return ['gemm', form, String(m), String(n), String(k), epilogue];
}
