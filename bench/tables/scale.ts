/**
 * The table of training at scale in docs/benchmarks.md, and where its saving comes from: recomputing the blocks, which plain
 * training can do too, or the subspace.
 */
import type { MachineRecord } from '../harness/machine.js';
import { markdownTable, number } from '../harness/table.js';
import type { ScaleResult, ScaleResultRow } from '../scale/measure.js';

export interface ScaleResults {
  readonly machine: MachineRecord;
  readonly results: readonly ScaleResult[];
}

/** Of the larger batch: rows as they are called there, and what the page calls them. */
const SHOWN: readonly (readonly [name: string, title: string])[] = [
  ['PyTorch', 'PyTorch'],
  ['full', '`full`'],
  ['full, smallest', '`full --saved smallest`'],
  ['full, smallest, 8 micro-batches', '`full --saved smallest`, 8 micro-batches'],
  ['wasi 0.8', '`wasi` (ε = 0.8)'],
  ['wasi 0.8, 8 micro-batches', '`wasi`, 8 micro-batches'],
  ['wasi 0.6, 8 micro-batches', '`wasi=0.6`, 8 micro-batches'],
  ['wasi 0.4, 32 micro-batches', '`wasi=0.4`, 32 micro-batches'],
  ['wasi 0.8, compact', '`wasi`, `--saved compact`'],
  ['wasi 0.7, compact', '`wasi=0.7`, `--saved compact`'],
  ['wasi 0.95, compact', '`wasi=0.95`, `--saved compact`'],
];

export function scaleBlock({ results }: ScaleResults): string {
  const large = results.reduce((most, other) => (other.batch > most.batch ? other : most));
  const row = (name: string) => large.rows.find((each) => each.name === name);
  const peer = row('PyTorch');
  const head = [
    'training',
    '>peak memory',
    '>of PyTorch',
    '>step, × as fast as `full`',
    '>× as fast as PyTorch',
    '>inference, × dense',
  ];
  const rows = SHOWN.map(([name, title]) => cells(title, row(name), peer));
  return [markdownTable(head, rows), ...sharesOf(row)].join('\n');
}

function cells(
  title: string,
  row: ScaleResultRow | undefined,
  peer: ScaleResultRow | undefined,
): readonly string[] {
  if (!row) return [title, '–', '–', '–', '–', '–'];
  const { rssPeakBytes, fasterThanFull, fasterThanPeer, inference } = row;
  const share = peer ? (100 * rssPeakBytes) / peer.rssPeakBytes : NaN;
  return [
    title,
    whole(rssPeakBytes),
    peer ? `${share < 9.95 ? share.toFixed(1) : share.toFixed(0)} %` : '–',
    number(fasterThanFull.median),
    fasterThanPeer ? number(fasterThanPeer.median) : '–',
    inference ? number(inference.faster.median) : '',
  ];
}

/** What of the saving recomputation brings and what the subspace, with one micro-batch and with eight. */
function sharesOf(row: (name: string) => ScaleResultRow | undefined): readonly string[] {
  const full = row('full');
  const pairs = [
    ['without micro-batches', row('full, smallest'), row('wasi 0.8')],
    [
      'in 8 micro-batches',
      row('full, smallest, 8 micro-batches'),
      row('wasi 0.8, 8 micro-batches'),
    ],
  ] as const;
  return pairs.flatMap(([how, recomputed, factored]) => {
    if (!full || !recomputed || !factored) return [];
    const all = full.rssPeakBytes - factored.rssPeakBytes;
    const saved = full.rssPeakBytes - recomputed.rssPeakBytes;
    const percent = ((100 * saved) / all).toFixed(0);
    const faster = factored.fasterThanFull.median / recomputed.fasterThanFull.median;
    return [
      `Where it comes from, ${how}: \`wasi\` takes ${whole(all)} less than \`full\`. Of these ` +
        `${whole(saved)} (${percent} %) come from recomputing the`,
      `blocks${how === 'without micro-batches' ? '' : ' and from the micro-batches'}, which ` +
        `\`full --saved smallest\` does too, and ${whole(all - saved)} from the subspace: ` +
        `${whole(factored.rssPeakBytes)} are`,
      `${number((100 * factored.rssPeakBytes) / recomputed.rssPeakBytes)} % of ` +
        `${whole(recomputed.rssPeakBytes)}. The step is ${number(faster)} times as fast as that of ` +
        '`full --saved smallest`.\n',
    ];
  });
}

function whole(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
