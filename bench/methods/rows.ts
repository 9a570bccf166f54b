/**
 * What the comparison of methods trains: one row for each setting, with the number of seeds on the
 * first data set. Rows with `everywhere` also run on the other data sets, one seed each.
 */

export interface Row {
  readonly name: string;
  /** Decides colour and legend of the picture. */
  readonly family: Family;
  /** Arguments of `thimble train`. */
  readonly arguments: readonly string[];
  readonly seeds: number;
  readonly everywhere?: boolean;
}

export type Family = 'full' | 'part' | 'wasi' | 'wasi, MLP' | 'wasi, plain' | 'one axis' | 'lora';

/** WASI with the comparison's explained variance of activations. */
function wasi(epsilon: string, layers: string): string {
  return `wasi=${epsilon},layers=${layers},activations=0.5`;
}

const EPSILONS = ['0.6', '0.7', '0.8', '0.9'];

/** The comparison's `compact`: what every factored row uses unless it says otherwise. */
const COMPACT = ['--saved', 'compact'];

export const ROWS: readonly Row[] = [
  row('full', 'full', ['full'], { seeds: 3, everywhere: true }),
  row('full, compact', 'full', ['full', ...COMPACT]),
  row('full, smallest', 'full', ['full', '--saved', 'smallest']),
  row('last-k=4', 'part', ['last-k=4']),
  row('bias-only', 'part', ['bias-only']),
  row('head', 'part', ['head'], { seeds: 3, everywhere: true }),
  row('lora', 'lora', ['lora'], { seeds: 3, everywhere: true }),
  row('lora, compact', 'lora', ['lora', ...COMPACT]),
  ...EPSILONS.map((epsilon) =>
    row(`wasi ${epsilon}`, 'wasi', [wasi(epsilon, 'all'), ...COMPACT], {
      seeds: 3,
      everywhere: true,
    }),
  ),
  row('wasi 0.9, smallest', 'wasi', [wasi('0.9', 'all'), '--saved', 'smallest']),
  row('wasi 0.8, smallest', 'wasi', [wasi('0.8', 'all'), '--saved', 'smallest']),
  ...EPSILONS.map((epsilon) =>
    row(`wasi ${epsilon}, MLP`, 'wasi, MLP', [wasi(epsilon, 'mlp'), ...COMPACT]),
  ),
  ...EPSILONS.map((epsilon) =>
    row(`wasi ${epsilon}, plain`, 'wasi, plain', [
      `${wasi(epsilon, 'all')},truncation=plain`,
      ...COMPACT,
    ]),
  ),
  row('wsi 0.8', 'one axis', ['wsi=0.8,layers=all', ...COMPACT], { seeds: 3, everywhere: true }),
  row('asi', 'one axis', ['asi=0.5,layers=all', ...COMPACT], { seeds: 3, everywhere: true }),
];

function row(
  name: string,
  family: Family,
  [method, ...rest]: readonly string[],
  more: { readonly seeds?: number; readonly everywhere?: boolean } = {},
): Row {
  const { seeds = 1, everywhere = false } = more;
  return { name, family, arguments: ['--method', method, ...rest], seeds, everywhere };
}
