/**
 * Training at scale in docs/benchmarks.md: a table for each batch, and where its savings come from.
 */
import { disturbance } from '../harness/machine.js';
import type { ScaleResult } from '../scale/measure.js';
import type { ScaleResults } from '../scale/store.js';
import { leanest, rowNamed, savings, scaleTable } from '../scale/table.js';

/** Rows as they are called there, and what the page calls them. */
const SHOWN: readonly (readonly [name: string, title: string])[] = [
  ['PyTorch', 'PyTorch'],
  ['PyTorch, bf16', 'PyTorch, bf16'],
  ['PyTorch, checkpointing', 'PyTorch, checkpointing, update in the backward pass'],
  ['PyTorch, checkpointing, 8 micro-batches', 'the same, 8 micro-batches'],
  ['PyTorch, checkpointing, bf16', 'PyTorch, checkpointing, bf16'],
  ['onnxruntime', 'onnxruntime, no arena'],
  ['full, exact', '`full`'],
  ['full, smallest', '`full --saved smallest`'],
  ['full, smallest, 8 micro-batches', '`full --saved smallest`, 8 micro-batches'],
  ['lora, smallest', '`lora --saved smallest`'],
  ['wsi, exact', '`wsi`'],
  ['wsi, smallest', '`wsi --saved smallest`'],
  ['wsi, smallest, 8 micro-batches', '`wsi --saved smallest`, 8 micro-batches'],
  ['wasi, exact', '`wasi --saved exact`'],
  ['wasi, compact', '`wasi --saved compact`'],
  ['wasi, smallest', '`wasi` (ε = 0.8)'],
  ['wasi, smallest, 8 micro-batches', '`wasi`, 8 micro-batches'],
  ['wsi, smallest, published ranks', '`wsi --saved smallest`, published ranks'],
  ['wasi, smallest, published ranks', '`wasi`, published ranks'],
  ['wasi 0.6', '`wasi=0.6`'],
  ['wasi 0.7', '`wasi=0.7`'],
  ['wasi 0.9', '`wasi=0.9`'],
];

export function scaleBlock({ results }: ScaleResults): string {
  if (results.length === 0) return NOT_MEASURED;
  return [...results]
    .sort((a, b) => b.batch - a.batch)
    .map(caseBlock)
    .join('\n');
}

/** README's sentence about the largest batch. */
export function scaleSentence({ results }: ScaleResults): string {
  const [large] = [...results].sort((a, b) => b.batch - a.batch);
  if (results.length === 0) return NOT_MEASURED;
  const bytes = (name: string) => {
    const row = rowNamed(large, name);
    return row ? (row.rssPeakBytes / 1e6).toFixed(0) : '–';
  };
  const lean = leanest(large);
  const least = lean ? (lean.rssPeakBytes / 1e6).toFixed(0) : '–';
  return [
    `On ViT-B/32 at batch ${large.batch} PyTorch takes ${bytes('PyTorch')} MB, or ${least} with checkpointing and more`,
    `work on the code; \`full\` ${bytes('full, exact')}, \`full --saved smallest\` ${bytes('full, smallest')}, \`wsi --saved`,
    `smallest\` ${bytes('wsi, smallest')} and \`wasi\` ${bytes('wasi, smallest')}.\n`,
  ].join('\n');
}

const NOT_MEASURED = 'Not measured since the benchmark changed: `npm run bench:scale`.\n';

function caseBlock(result: ScaleResult): string {
  // A case without micro-batches has no such row of ours.
  const divided = /^(full|wsi|wasi),.*micro-batches$/u;
  const hasDivided = result.rows.some(({ name }) => divided.test(name));
  const ran = SHOWN.filter(([name]) => hasDivided || !divided.test(name));
  const warning = disturbance(result.machine);
  return [
    `Batch ${result.batch}:\n`,
    ...(warning === null ? [] : [`**${warning}**\n`]),
    scaleTable(result, ran),
    ...savings(result),
  ].join('\n');
}
