/** The Markdown of the scale benchmark: a table for each batch, and where savings come from. */
import { document } from '../harness/results.js';
import { markdownTable, number, percent } from '../harness/table.js';
import type { ScaleResult, ScaleResultRow } from './measure.js';

export function scaleDocument(results: readonly ScaleResult[]): string {
  if (results.length === 0) return '# ViT-B/32\n\nNot measured since the benchmark changed.\n';
  return results
    .map((result) =>
      document(
        `ViT-B/32, batch ${result.batch}, ${result.threads} threads`,
        result.machine,
        [scaleTable(result), ...savings(result), ...notes(result)].join('\n'),
      ),
    )
    .join('\n');
}

/**
 * @param shown names of rows with what they are called; absent: all, by their names
 */
export function scaleTable(
  result: ScaleResult,
  shown: readonly (readonly [name: string, title: string])[] = result.rows.map(({ name }) => [
    name,
    name,
  ]),
): string {
  const plain = rowNamed(result, 'PyTorch');
  const lean = leanest(result);
  const head = [
    'training',
    '>peak memory',
    ...(plain ? ['>of PyTorch'] : []),
    ...(lean ? ['>of PyTorch at its smallest'] : []),
    '>planned',
    '>GFLOP',
    '>ms/step',
    '>× PyTorch fp32',
    '>× PyTorch bf16',
    '>× `full --saved smallest`',
  ];
  const rows = shown.map(([name, title]) => {
    const row = rowNamed(result, name);
    if (!row) return [title, ...head.slice(1).map(() => '–')];
    const of = (base: ScaleResultRow | null) =>
      base ? [percent(row.rssPeakBytes / base.rssPeakBytes)] : [];
    const faster = [row.faster.pytorch, row.faster.bf16, row.faster.recomputed];
    return [
      title,
      whole(row.rssPeakBytes),
      ...of(plain),
      ...of(lean),
      known(row, 'plannedBytes', whole),
      known(row, 'flopsPerStep', (flops) => number(flops / 1e9)),
      number(row.ms.median),
      ...faster.map((ratio) => (ratio ? number(ratio.median) : '–')),
    ];
  });
  return markdownTable(head, rows);
}

/** PyTorch's row with the least memory, however it is run; null without PyTorch. */
export function leanest({ rows }: ScaleResult): ScaleResultRow | null {
  const all = rows.filter(({ name }) => name.startsWith('PyTorch'));
  if (all.length === 0) return null;
  return all.reduce((least, row) => (row.rssPeakBytes < least.rssPeakBytes ? row : least));
}

/** What comes from recomputation, what from the subspace, and beside which PyTorch. */
export function savings(result: ScaleResult): readonly string[] {
  return [
    pairs(result, 'Recomputation, `full` in each form beside `exact`', [
      ['compact', 'full, compact', 'full, exact'],
      ['smallest', 'full, smallest', 'full, exact'],
    ]),
    pairs(result, 'Slices, beside the whole batch at once', variants('', ', whole')),
    pairs(result, 'Momentum in 8 bits, beside 32', variants(', 8-bit momentum', '')),
    pairs(result, 'The subspace, `wasi` beside `full` in the same form', sameForm('wasi', 'full')),
    pairs(result, 'Of that the weights alone, `wsi` beside `full`', sameForm('wsi', 'full')),
    pairs(result, 'And the inputs, `wasi` beside `wsi`', sameForm('wasi', 'wsi')),
    ...besidePytorch(result),
  ].flatMap((text) => (text === null ? [] : [`${text}\n`]));
}

type Comparison = readonly [how: string, own: string, other: string];

function sameForm(own: string, other: string): readonly Comparison[] {
  const forms = ['exact', 'compact', 'smallest', 'smallest, 8 micro-batches'];
  return forms.map((form) => [form, `${own}, ${form}`, `${other}, ${form}`]);
}

/** `smallest` in two variants, for every method. */
function variants(own: string, other: string): readonly Comparison[] {
  return ['full', 'wsi', 'wasi'].map((method) => [
    `\`${method}\``,
    `${method}, smallest${own}`,
    `${method}, smallest${other}`,
  ]);
}

/** null: none of them was measured. */
function pairs(
  result: ScaleResult,
  what: string,
  comparisons: readonly Comparison[],
): string | null {
  const texts = comparisons.flatMap(([how, own, other]) => {
    const [row, beside] = [rowNamed(result, own), rowNamed(result, other)];
    if (!row || !beside) return [];
    const share = row.rssPeakBytes / beside.rssPeakBytes - 1;
    const more = `${share < 0 ? '−' : '+'}${Math.abs(100 * share).toFixed(0)} %`;
    const memory = `${whole(row.rssPeakBytes)} for ${whole(beside.rssPeakBytes)} (${more})`;
    return [`${how} ${memory}, ${times(row, beside)}`];
  });
  return texts.length === 0 ? null : `${what}: ${texts.join('; ')}.`;
}

/** Both beside one yardstick in the same rounds, whichever ran. */
function times(row: ScaleResultRow, beside: ScaleResultRow): string {
  const yardsticks = ['recomputed', 'pytorch', 'bf16'] as const;
  const yardstick = yardsticks.find((each) => row.faster[each] && beside.faster[each]);
  const [own, other] = yardstick
    ? [row.faster[yardstick]?.median ?? NaN, beside.faster[yardstick]?.median ?? NaN]
    : [1 / row.ms.median, 1 / beside.ms.median];
  return `${number(own / other)} times as fast`;
}

function besidePytorch(result: ScaleResult): readonly string[] {
  const plain = rowNamed(result, 'PyTorch');
  const lean = leanest(result);
  if (!plain || !lean) return [];
  return ['full, smallest', 'wsi, smallest', 'wasi, smallest'].flatMap((name) => {
    const row = rowNamed(result, name);
    if (!row) return [];
    const { pytorch, bf16 } = row.faster;
    const share = (base: ScaleResultRow) => percent(row.rssPeakBytes / base.rssPeakBytes);
    const speed = [
      ...(pytorch ? [`${number(pytorch.median)} times as fast as in fp32`] : []),
      ...(bf16 ? [`${number(bf16.median)} times as fast as in bf16`] : []),
    ];
    return [
      `\`${name}\` beside PyTorch: ${share(plain)} of its memory as it comes ` +
        `(${whole(plain.rssPeakBytes)}), ${share(lean)} of what it takes at its smallest ` +
        `(${lean.name}: ${whole(lean.rssPeakBytes)}); ${speed.join(', ')}.`,
    ];
  });
}

function notes(result: ScaleResult): readonly string[] {
  const { rounds, preparing, photos, skipped, rows } = result;
  const shares = rows.flatMap((row) => {
    const share = row.ready['rankShare'];
    if (
      typeof share !== 'number' ||
      !/^(wsi|wasi), (exact|smallest$|.*ViT-Ti)|^wasi \d/u.test(row.name)
    )
      return [];
    return [`${row.name} ${percent(share)}, ${String(row.ready['compressed'])} inputs`];
  });
  const peer = rowNamed(result, 'PyTorch');
  const imported = peer ? known(peer, 'importBytes', whole) : '';
  return [
    `Medians of ${rounds} interleaved rounds of one step; × is how many times as fast, the median of the`,
    `ratios within each round. Everybody trains on the same photos (${photos}), different ones in each`,
    'micro-batch, from the same weights, by SGD with momentum 0.9; first losses were compared. Peak memory is',
    `the process’s${imported === '' ? '' : `; importing PyTorch alone takes ${imported}`}. Preparing, which`,
    `finds ranks on the photos and factors, took ${number(preparing.seconds)} s and`,
    `${whole(preparing.rssPeakBytes)}, which counts where training takes less.\n`,
    'Weights have the spectrum of spectrum.ts and the ranks that were published for those of ViT-B/32, but where a',
    'row says ViT-Ti; ranks of inputs are not found on them but are those that photos give on pretrained ViT-Ti and',
    'DeiT-Ti, block by block (scale-ranks.md). Mean K/n and inputs in Tucker form: ' +
      `${shares.join('; ')}.\n`,
    ...(peer ? [`PyTorch ${String(peer.ready['version'])}.\n`] : []),
    ...fewerRounds(result),
    ...skipped.map(({ name, reason }) => `Not run: ${name} (${reason}).\n`),
  ];
}

function fewerRounds({ rows, rounds }: ScaleResult): readonly string[] {
  const names = rows.filter(({ ms }) => ms.count < rounds).map(({ name }) => name);
  return names.length === 0 ? [] : [`Not in all rounds: ${names.join('; ')}.\n`];
}

export function rowNamed({ rows }: ScaleResult, name: string): ScaleResultRow | null {
  return rows.find((row) => row.name === name) ?? null;
}

function known(row: ScaleResultRow, key: string, form: (value: number) => string): string {
  const value = row.ready[key];
  return typeof value === 'number' ? form(value) : '';
}

function whole(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
