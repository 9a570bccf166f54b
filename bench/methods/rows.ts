/**
 * What the comparison of methods trains: one row for each setting, with the number of seeds on the
 * first set. Rows with `everywhere` also run on the other sets, one seed each.
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

const EPSILONS = ['0.6', '0.7', '0.8', '0.9'];
const MAIN = { seeds: 3, everywhere: true };
const EVERYWHERE = { everywhere: true };

const saved = (form: string) => ['--saved', form];

export const ROWS: readonly Row[] = [
  row('full', 'full', ['full'], MAIN),
  row('full, compact', 'full', ['full', ...saved('compact')]),
  row('full, smallest', 'full', ['full', ...saved('smallest')]),
  row('last-k=4', 'part', ['last-k=4']),
  row('last-k=4, smallest', 'part', ['last-k=4', ...saved('smallest')]),
  row('bias-only, smallest', 'part', ['bias-only', ...saved('smallest')]),
  row('head', 'part', ['head'], MAIN),
  row('lora', 'lora', ['lora']),
  row('lora, smallest', 'lora', ['lora', ...saved('smallest')], MAIN),
  // The defaults: all linears, truncation by data, activations as weights, smallest.
  ...EPSILONS.map((epsilon) =>
    row(`wasi ${epsilon}`, 'wasi', [`wasi=${epsilon}`], epsilon === '0.6' ? EVERYWHERE : MAIN),
  ),
  row('wasi 0.8, compact', 'wasi', ['wasi=0.8', ...saved('compact')]),
  row('wasi 0.8, exact', 'wasi', ['wasi=0.8', ...saved('exact')]),
  row('wasi 0.8, activations 0.5', 'wasi', ['wasi=0.8,activations=0.5']),
  ...EPSILONS.map((epsilon) =>
    row(`wasi ${epsilon}, MLP`, 'wasi, MLP', [`wasi=${epsilon},layers=mlp`]),
  ),
  ...EPSILONS.map((epsilon) =>
    row(`wasi ${epsilon}, plain`, 'wasi, plain', [`wasi=${epsilon},truncation=plain`]),
  ),
  row('wsi 0.8, smallest', 'one axis', ['wsi=0.8', ...saved('smallest')], EVERYWHERE),
  row('asi 0.5, smallest', 'one axis', ['asi=0.5', ...saved('smallest')], EVERYWHERE),
  row('asi 0.5, all', 'one axis', ['asi=0.5', ...saved('all')]),
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
