/**
 * Instructions for each floating-point operation of the matrix product on 64-bit Arm, counted
 * exactly under QEMU, and what they allow a Raspberry Pi 5 at most. Times no Arm processor.
 *
 *   npm run bench:arm64 -- [--dry-run]
 */
import { dirname } from 'node:path';
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { machineRecord } from '../harness/machine.js';
import { save } from '../harness/results.js';
import { GEMMS, gemmWords, TILES } from './cases.js';
import { boundOf } from './cortex.js';
import { buildCounter, countOne, occurrences, toolVersions } from './emulator.js';
import { noCounts, sum, total, type Counts } from './instructions.js';
import { arm64Text, type Arm64Result, type GemmRow, type TileRow } from './table.js';

/** Depth at which tiles are counted; twice that gives what one step of k costs. */
const DEPTH = 192;
/** Rows of the tile that gemm.h chose before, for comparison. */
const BEFORE = 8;

const { values: options } = parseArgs({ options: { 'dry-run': { type: 'boolean' } } });
const tools = await toolVersions();
// Counts do not depend on how busy the machine is, or which one it is: no wait, no warning.
const { commit, date } = await machineRecord(0);
const programs = {
  now: await buildCounter(),
  before: await buildCounter([`-DTILE_ROWS=${BEFORE}`]),
  dotprod: await buildCounter(['-march=armv8.2-a+dotprod']),
};
try {
  await checkCounting();
  const result: Arm64Result = {
    tools,
    made: { commit, date },
    depth: DEPTH,
    tiles: await countTiles(),
    gemms: await countGemms(),
    dotprod: await occurrences(programs.dotprod, /^(sdot|udot)\b/),
  };
  const text = `# 64-bit Arm\n\n${arm64Text(result)}`;
  console.log(text);
  if (options['dry-run'] !== true) await save('arm64', result, text);
} finally {
  for (const path of Object.values(programs)) await rm(dirname(path), { recursive: true });
}

/** Blocks × runs has to be what the emulator counts one instruction at a time. */
async function checkCounting(): Promise<void> {
  const words = ['gemm', 'NT', '13', '9', '7', 'BIAS'];
  const blocks = all(await countOne(programs.now, words));
  const single = all(await countOne(programs.now, words, ['-singlestep']));
  if (JSON.stringify(blocks) === JSON.stringify(single)) return;
  throw new Error(
    `counting: expected ${JSON.stringify(single)} (one instruction at a time), ` +
      `got ${JSON.stringify(blocks)}`,
  );
}

async function countTiles(): Promise<TileRow[]> {
  const rows: TileRow[] = [];
  for (const tile of TILES) {
    const counts = all(await countOne(programs.now, ['tile', tile.name, String(DEPTH)]));
    const flops = 2 * tile.rows * tile.cols * DEPTH;
    rows.push({ ...tile, flops, counts, bound: boundOf(counts, flops) });
  }
  return rows;
}

async function countGemms(): Promise<GemmRow[]> {
  const rows: GemmRow[] = [];
  for (const gemm of GEMMS) {
    const found = await countOne(programs.now, gemmWords(gemm));
    const counts = all(found);
    const flops = 2 * gemm.m * gemm.n * gemm.k;
    rows.push({
      ...gemm,
      flops,
      counts,
      tile: all(found, (symbol) => /^(tile|packed)_\d/u.test(symbol)),
      packing: all(found, (symbol) => symbol.startsWith('gemm_pack')),
      before: total(all(await countOne(programs.before, gemmWords(gemm)))),
      bound: boundOf(counts, flops),
    });
  }
  return rows;
}

function all(
  found: ReadonlyMap<string, Counts>,
  wanted: (symbol: string) => boolean = () => true,
): Counts {
  return [...found]
    .filter(([symbol]) => wanted(symbol))
    .reduce((counts, [, own]) => sum(counts, own), noCounts());
}
