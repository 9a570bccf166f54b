/** The Markdown of the counted instructions. */
import { markdownTable, number, percent } from '../harness/table.js';
import { registersOf, type GemmCase, type TileCase } from './cases.js';
import { CORTEX_A76, FLOPS_PER_FMLA, peakGflops, type Bound } from './cortex.js';
import { CLASSES, total, type Counts } from './instructions.js';

interface Counted {
  readonly flops: number;
  readonly counts: Counts;
  readonly bound: Bound;
}
export type TileRow = TileCase & Counted;
export type GemmRow = GemmCase &
  Counted & {
    /** In the register tile, and in packing the right-hand side. */
    readonly tile: Counts;
    readonly packing: Counts;
    /** Instructions with a tile of eight rows. */
    readonly before: number;
  };

export interface Arm64Result {
  readonly tools: { readonly compiler: string; readonly emulator: string };
  readonly made: { readonly commit: string | null; readonly date: string };
  readonly depth: number;
  readonly tiles: readonly TileRow[];
  readonly gemms: readonly GemmRow[];
  /** Dot-product instructions that the compiler finds a use for. */
  readonly dotprod: number;
}

export function arm64Text(result: Arm64Result): string {
  const { tools, made, depth, tiles, gemms } = result;
  return [
    `${tools.compiler}; ${tools.emulator};`,
    `commit ${made.commit ?? 'unknown'}; ${made.date}.`,
    'Counted exactly under the emulator; **no Arm processor was timed.**\n',
    'Instructions for each floating-point operation of `kernels/gemm.c`, by class. One 128-bit',
    `\`fmla\` does ${FLOPS_PER_FMLA}, so ${ideal()} is the least; the rest is overhead.\n`,
    `## Register tiles, depth ${depth}\n`,
    tileTable(tiles),
    '## Products of a ViT-Ti step, one image\n',
    gemmTable(gemms),
    notes(result),
  ].join('\n');
}

function ideal(): string {
  return (1 / FLOPS_PER_FMLA).toFixed(3);
}

function classCells({ counts, flops }: Counted): string[] {
  return [total(counts), ...CLASSES.map((name) => counts[name])].map((count) =>
    (count / flops).toFixed(4),
  );
}

function boundCells({ bound }: Counted): string[] {
  return [bound.by, `${number(bound.gflops)} (${percent(bound.gflops / peakGflops())})`];
}

function tileTable(tiles: readonly TileRow[]): string {
  const head = [
    'tile',
    'left-hand side',
    '>registers',
    '>all',
    ...CLASSES.map((name) => `>${name}`),
  ];
  return markdownTable(
    [...head, 'A76 bound by', '>GFLOP/s, at most'],
    tiles.map((tile) => [
      `${tile.rows}×${tile.cols}`,
      tile.how,
      String(registersOf(tile)),
      ...classCells(tile),
      ...boundCells(tile),
    ]),
  );
}

function gemmTable(gemms: readonly GemmRow[]): string {
  const head = ['product', '>all', ...CLASSES.map((name) => `>${name}`)];
  return markdownTable(
    [...head, '>in the tile', '>packing b', '>all, 8×8', 'A76 bound by', '>GFLOP/s, at most'],
    gemms.map((gemm) => [
      `${gemm.form} ${gemm.m}×${gemm.n}×${gemm.k} (${gemm.label}${epilogueText(gemm)})`,
      ...classCells(gemm),
      percent(total(gemm.tile) / total(gemm.counts)),
      percent(total(gemm.packing) / total(gemm.counts)),
      (gemm.before / gemm.flops).toFixed(4),
      ...boundCells(gemm),
    ]),
  );
}

function epilogueText({ epilogue }: GemmCase): string {
  return epilogue === 'GELU' ? ' +GELU' : '';
}

function notes({ dotprod }: Arm64Result): string {
  const { name, gigahertz, decode, vectorPipes, loadPipes, latency } = CORTEX_A76;
  return [
    `**Upper bound for a Raspberry Pi 5.** Its ${name} starts ${vectorPipes} vector operations and`,
    `${loadPipes} loads of 16 bytes and decodes ${decode} instructions per cycle; at ${gigahertz} GHz`,
    `${vectorPipes} × ${FLOPS_PER_FMLA} flops × ${gigahertz} = ${number(peakGflops())} GFLOP/s is a`,
    'core’s peak. A product takes at least as many cycles as the busiest of the three needs; the last',
    'columns say which that is and what speed it leaves. Misses in the caches, branches and the',
    'latency of loads come on top, so what a board reaches is below, never above.\n',
    `**Why 12×8.** ${vectorPipes} pipes of latency ${latency} need`,
    `${vectorPipes * latency} independent chains; 24 accumulators are three times that, so the chains`,
    'never wait. Accumulators and operands take 29 of the 32 registers; nothing is spilled, since the',
    'counted loads are the three of a step: 3 / 192 = 0.0156 (ldp, ldp, ldr). Each',
    'row of tiles reads the packed right-hand side from the second-level cache once: 12 rows read it',
    'a third less often than 8. 8×12 needs as many instructions, but rounds columns up to 12, and',
    'widths and heads are multiples of 8.\n',
    '**Dot product.** `sdot` (`-march=armv8.2-a+dotprod`) multiplies and adds 16 pairs of bytes where',
    '`fmla` does 4 pairs of floats, but only bytes. Products are float32 here and 8-bit numbers are a',
    `form of storage (\`kernels/quantise.c\`): compiled with it, the matrix product has ${dotprod} of`,
    'them. It would help an 8-bit product, of which there is none.',
    '',
  ].join('\n');
}
