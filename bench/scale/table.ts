/** The Markdown of one case of the scale benchmark. */
import { markdownTable, megabytes, number, percent } from '../harness/table.js';
import type { ScaleResult, ScaleResultRow } from './measure.js';

export function scaleTable(result: ScaleResult): string {
  const { batch, threads, rounds, evalBatch, rows } = result;
  const peer = rows.find((row) => row.inference === null);
  const head = [
    'contestant',
    '>K/n',
    '>peak memory',
    ...(peer ? [`>${peer.name} /`] : []),
    '>planned',
    '>GFLOP',
    '>ms/step',
    '>× full',
    ...(peer ? [`>× ${peer.name}`] : []),
    '>inference ms',
    '>× dense',
    '>prepare s',
  ];
  return [
    `## Batch ${batch}, ${threads} threads\n`,
    markdownTable(
      head,
      rows.map((row) => cells(row, peer)),
    ),
    `Medians of ${rounds} interleaved rounds of one step; × is how many times faster, the median of`,
    'the ratios within each round. K/n is the mean rank of the factored weights as a share of the',
    'smaller side. Peak memory is the process’s, preparing included. Inference: batches of',
    `${evalBatch} images. Ranks by the published rule (truncation=plain) from weights with the spectrum of a`,
    'pretrained ViT-B/32 (spectrum.ts), SGD without momentum, images of noise; every arena is as large as',
    'its plan.\n',
  ].join('\n');
}

function cells(row: ScaleResultRow, peer: ScaleResultRow | undefined): readonly string[] {
  const known = (key: string) => {
    const value = row.ready[key];
    return typeof value === 'number' ? value : null;
  };
  const text = (value: number | null, form: (x: number) => string) =>
    value === null ? '' : form(value);
  const { ms, fasterThanFull, fasterThanPeer, inference, rssPeakBytes } = row;
  const version = String(row.ready['version']);
  return [
    row.inference === null ? `${row.name} (${version})` : row.name,
    text(known('rankShare'), percent),
    megabytes(rssPeakBytes),
    ...(peer ? [`${number(peer.rssPeakBytes / rssPeakBytes)} ×`] : []),
    text(known('plannedBytes'), megabytes),
    text(known('flopsPerStep'), (flops) => number(flops / 1e9)),
    number(ms.median),
    number(fasterThanFull.median),
    ...(peer ? [text(fasterThanPeer?.median ?? null, number)] : []),
    text(inference?.ms.median ?? null, number),
    text(inference?.faster.median ?? null, number),
    text(known('prepareSeconds'), number),
  ];
}
