/** The Markdown of the inference benchmark. */
import { markdownTable, megabytes, number } from '../harness/table.js';
import { BATCHES } from './protocol.js';
import type { InferenceResult, InferenceRow } from './result.js';

export function inferenceTable(result: InferenceResult): string {
  const { model, method, weights, threads, rounds, rows } = result;
  const batches = BATCHES.flatMap((batch) => [`>ms, batch ${batch}`, '>ours × as fast']);
  const head = ['contestant', ...batches, '>peak memory', '>max |Δlogit|'];
  return [
    `## ${model}, forward pass, ${threads} threads\n`,
    markdownTable(head, rows.map(cells)),
    `Medians of ${rounds} interleaved rounds; ours × as fast is the median of the ratios to the`,
    'dense model in our native executor within each round, with its quartiles. Factored:',
    `${method}. Weights: ${weights}. Peak memory is that of the whole process.`,
    'Differences of logits are from ours of the same weights.\n',
  ].join('\n');
}

function cells(row: InferenceRow): readonly string[] {
  if ('missing' in row) return [row.name, `not available: ${row.missing}`];
  const { name, version, times, rssPeakBytes, maxDifference } = row;
  return [
    version === '' ? name : `${name} (${version})`,
    ...times.flatMap(({ ms, oursFaster: ratio }) => [
      number(ms.median),
      `${number(ratio.median)} (${number(ratio.low)} – ${number(ratio.high)})`,
    ]),
    megabytes(rssPeakBytes),
    maxDifference === 0 ? '' : maxDifference.toExponential(1),
  ];
}
