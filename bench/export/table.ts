/** The Markdown of one run of the export benchmark. */
import { markdownTable, megabytes, number, percent } from '../harness/table.js';
import { BATCHES, OWN, type ExportResult, type ExportRow } from './result.js';

export function exportTable(result: ExportResult): string {
  const { model, method, photos, threads, rounds, maxLogit, rows } = result;
  const batches = BATCHES.flatMap((batch) => [
    `>ms, ${batch} image${batch === 1 ? '' : 's'}`,
    '>× time',
  ]);
  const head = [
    'file',
    '>size',
    '>of fp32',
    '>max |Δlogit|',
    '>same class',
    '>accuracy',
    ...batches,
  ];
  const counted = `${threads} thread${threads === 1 ? '' : 's'}`;
  return [
    `## ${model}, ${method}\n`,
    markdownTable(head, rows.map(cells)),
    `Sizes beside the dense weights in float32. Logits of ${photos} photos, each by itself, beside`,
    `our executor's, whose largest is ${number(maxLogit)}. ${counted}; medians of ${rounds}`,
    'interleaved rounds, × time is the median of the ratios to our executor within each round.\n',
  ].join('\n');
}

function cells({ name, bytes, ofFloat32, maxDifference, ...row }: ExportRow): readonly string[] {
  const isOwn = name === OWN;
  return [
    name,
    bytes === null ? '' : megabytes(bytes),
    ofFloat32 === null ? '' : percent(ofFloat32),
    isOwn ? '' : maxDifference.toExponential(1),
    isOwn ? '' : `${(100 * row.agreement).toFixed(1)} %`,
    `${(100 * row.accuracy).toFixed(1)} %`,
    ...row.times.flatMap(({ ms, ratio }) => [number(ms.median), number(ratio.median)]),
  ];
}
