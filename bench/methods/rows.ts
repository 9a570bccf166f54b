/**
 * What the comparison of methods trains: one row for each setting. Main rows have a search of the peak
 * learning rate, at ×1, ×2, ×4 and ×10 of a base below what the command takes, and run on every set with
 * several seeds; the others run with one seed on flowers at the rate of the row that they vary.
 */
import type { Choice, Searched } from '../harness/search.js';

export interface Row extends Searched {
  /** Decides colour and legend of the picture. */
  readonly family: Family;
  /** Arguments of `thimble train` besides method and rate. */
  readonly arguments: readonly string[];
  /** Most seeds; 1: on flowers alone. */
  readonly seeds: number;
  /** The row whose rate it takes over, times `factor`; the row has no search of its own then. */
  readonly rateOf?: string;
  readonly factor?: number;
}

export type Family = 'full' | 'part' | 'lora' | 'wasi' | 'wsi' | 'paper' | 'wasi, varied';

const FACTORS = [1, 2, 4, 10];
/** Half of the command's rates or less: where blocks train, their adapters, and where the classifier does alone. */
const BASE = 5e-4;
const LORA_BASE = 1e-3;
const HEAD_BASE = 2.5e-3;
const ADAMW_BASE = 5e-5;
/** A mean with a standard error takes three. */
const SEEDS = 3;

const SMALLEST = ['--saved', 'smallest'];
const ADAMW = ['--optimizer', 'adamw'];
const WASI = 'wasi 0.8';

/** The published setting to the letter, but for the batch and the epochs, which all rows share. */
const PAPER = {
  method: 'wasi=0.8,layers=mlp,truncation=plain,refresh=whole',
  rate: '0.05',
  arguments: ['--momentum', '0', '--weight-decay', '0.0001', '--clip', '2', '--warmup', '0'],
};

export const ROWS: readonly Row[] = [
  main('full', 'full', 'full'),
  main(WASI, 'wasi', 'wasi=0.8'),
  main('wsi 0.8, smallest', 'wsi', 'wsi=0.8', { more: SMALLEST }),
  main('lora, smallest', 'lora', 'lora', { base: LORA_BASE, more: SMALLEST }),
  main('wasi 0.9', 'wasi', 'wasi=0.9'),
  main('head', 'part', 'head', { base: HEAD_BASE }),
  main('last-k=4, smallest', 'part', 'last-k=4', { more: SMALLEST }),
  {
    ...{ name: 'wasi as published', family: 'paper', arguments: PAPER.arguments, seeds: SEEDS },
    choices: [{ method: PAPER.method, rate: PAPER.rate }],
  },
  varied('full, smallest', 'full', 'full', 'full', { more: SMALLEST }),
  main('full, adamw', 'full', 'full', { base: ADAMW_BASE, more: ADAMW, seeds: 1 }),
  main('wasi 0.8, adamw', 'wasi', 'wasi=0.8', { base: ADAMW_BASE, more: ADAMW, seeds: 1 }),
  // Departures of wasi from the paper, each taken back by itself.
  varied('wasi 0.8, truncation plain', 'wasi, varied', 'wasi=0.8,truncation=plain', WASI),
  varied('wasi 0.8, layers mlp', 'wasi, varied', 'wasi=0.8,layers=mlp', WASI),
  varied('wasi 0.8, refresh whole', 'wasi, varied', 'wasi=0.8,refresh=whole', WASI),
  varied('wasi 0.8, exact', 'wasi, varied', 'wasi=0.8', WASI, { more: ['--saved', 'exact'] }),
  // Without momentum a pair follows the exact product; the step is as long at ten times the rate.
  varied('wasi 0.8, no momentum', 'wasi, varied', 'wasi=0.8', WASI, {
    ...{ more: ['--momentum', '0'], factor: 10 },
  }),
  // The factor of the images is found anew at every step, and the others with it.
  varied('asi 0.8, smallest', 'wasi, varied', 'asi=0.8', WASI, { more: SMALLEST }),
  varied('hosvd 0.8, smallest', 'wasi, varied', 'hosvd=0.8', WASI, { more: SMALLEST }),
  varied('wasi 0.8, activations 0.5', 'wasi, varied', 'wasi=0.8,activations=0.5', WASI),
];

interface More {
  readonly more?: readonly string[];
  readonly base?: number;
  readonly factor?: number;
  readonly seeds?: number;
}

function main(
  name: string,
  family: Family,
  method: string,
  { more = [], base = BASE, seeds = SEEDS }: More = {},
): Row {
  const choices = FACTORS.map((factor) => ({ method, rate: scaled(String(base), factor) }));
  return { name, family, arguments: more, choices, seeds };
}

function varied(
  name: string,
  family: Family,
  method: string,
  rateOf: string,
  { more = [], factor = 1 }: More = {},
): Row {
  const choices = [{ method, rate: '' }];
  return { name, family, arguments: more, choices, seeds: 1, rateOf, factor };
}

/** With the digits of a decimal that a person would write. */
export function scaled(rate: string, factor: number): string {
  return String(Number((Number(rate) * factor).toPrecision(3)));
}

export function isSearched({ choices }: Row): boolean {
  return choices.length > 1;
}

/** The method of the row at a rate. */
export function choiceAt({ choices: [{ method }] }: Row, rate: string): Choice {
  return { method, rate };
}
