/**
 * Training at scale in docs/benchmarks.md: a table for each batch, and where its savings come from.
 */
import { disturbance } from '../harness/machine.js';
import { SCALE_CASES } from '../scale/cases.js';
import type { ScaleResult, ScaleResultRow } from '../scale/measure.js';
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
  ['full, smallest, 8-bit momentum', '`full --saved smallest --momentum-bits 8`'],
  ['full, smallest, whole', '`full --saved smallest --slices 1`'],
  ['full, smallest, 8 micro-batches', '`full --saved smallest`, 8 micro-batches'],
  ['lora, smallest', '`lora --saved smallest`'],
  ['wsi, exact', '`wsi`'],
  ['wsi, smallest', '`wsi --saved smallest`'],
  ['wsi, smallest, 8-bit momentum', '`wsi --saved smallest --momentum-bits 8`'],
  ['wsi, smallest, whole', '`wsi --saved smallest --slices 1`'],
  ['wasi, exact', '`wasi --saved exact`'],
  ['wasi, compact', '`wasi --saved compact`'],
  ['wasi, smallest', '`wasi` (ε = 0.8)'],
  ['wasi, smallest, 8-bit momentum', '`wasi --momentum-bits 8`'],
  ['wasi, smallest, whole', '`wasi --slices 1`'],
  ['wasi, smallest, 8 micro-batches', '`wasi`, 8 micro-batches'],
  ['wsi, smallest, ranks of ViT-Ti', '`wsi --saved smallest`, weights of the ranks of ViT-Ti'],
  ['wasi, smallest, ranks of ViT-Ti', '`wasi`, weights of the ranks of ViT-Ti'],
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

/** README with its paragraph about the largest batch. Throws Error for one without it. */
export function withScaleParagraph(readme: string, { results }: ScaleResults): string {
  if (!PARAGRAPH.test(readme)) throw new Error('README.md: expected a paragraph "On ViT-B/32 …"');
  const [large] = [...results].sort((a, b) => b.batch - a.batch);
  return readme.replace(PARAGRAPH, results.length === 0 ? UNKNOWN : paragraph(large));
}

const PARAGRAPH = /^On ViT-B\/32,? [^]*?(?=\n\n)/mu;
const REST = '([all](docs/benchmarks.md)).\nA demo, and the tests:';
const UNKNOWN = `On ViT-B/32 memory is yet to be measured ${REST}`;

function paragraph(large: ScaleResult): string {
  const bytes = (row: ScaleResultRow | null) => (row ? (row.rssPeakBytes / 1e6).toFixed(0) : '–');
  const own = (name: string) => bytes(rowNamed(large, name));
  return (
    `On ViT-B/32, batch ${large.batch}: PyTorch ${bytes(leanest(large))}–${own('PyTorch')} MB, ` +
    `\`full\` ${own('full, exact')}, \`wasi\` ${own('wasi, smallest')} ${REST}`
  );
}

const NOT_MEASURED = 'Not measured since the benchmark changed: `npm run bench:scale`.\n';

function caseBlock(result: ScaleResult): string {
  // Not every case has every row; one that it has and that did not run is there without numbers.
  const { groups = [] } = SCALE_CASES.find(({ batch }) => batch === result.batch) ?? {};
  const own = new Set(groups.flat().map(({ name }) => name));
  const ran = SHOWN.filter(([name]) => own.has(name));
  const warning = disturbance(result.machine);
  return [
    `Batch ${result.batch}:\n`,
    ...(warning === null ? [] : [`**${warning}**\n`]),
    scaleTable(result, ran),
    ...savings(result),
  ].join('\n');
}
