/** What `thimble plan` says: the memory by part, and the largest tensors. */
import { megabytes, type BatchNormStatistics } from '@thimble/core';
import type { PlanResult } from '../library/plan.js';
import { cutText, type CompiledStep } from '../step/step.js';
import { metric } from '../terminal/format.js';
import { tableText } from '../terminal/table.js';

/** Said where a method's ranks are not those of any weights. */
const TYPICAL: readonly string[] = [
  'The ranks are typical ones: thimble train finds those of your weights and images first.',
];

/** What batch norms train with. */
const NORMS: { readonly [S in BatchNormStatistics]: string } = {
  batch: 'statistics of each micro-batch',
  frozen: 'frozen statistics',
};

export function planLines(step: CompiledStep, fields: PlanResult): readonly string[] {
  const { microBatches, pass } = step;
  // A row that would say 0.0 % counts with the rest.
  const tables = 2000 * fields.tableBytes < fields.peakBytes ? 0 : fields.tableBytes;
  const rows: readonly (readonly [string, number])[] = [
    ['Weights', fields.weightBytes],
    ...(fields.bufferBytes > 0 ? [['Buffers', fields.bufferBytes] as const] : []),
    ...(tables > 0 ? [['Tables', tables] as const] : []),
    ['Optimiser state', fields.optimizerBytes],
    ...(fields.factorBytes > 0 ? [['Factors of activations', fields.factorBytes] as const] : []),
    ['Saved for the backward pass', fields.savedBytes],
    ['Transient and scratch', fields.transientBytes + fields.tableBytes - tables],
    ['Peak', fields.peakBytes],
  ];
  const share = (bytes: number) => `${((100 * bytes) / fields.peakBytes).toFixed(1)} %`;
  return [
    `${step.modelName}, ${step.method.text}, saved ${step.saved}, ${step.optimizer.name}, batch ` +
      `${String(pass * microBatches)}${cutText(step)}, ${String(step.config.imageSize)} px, ` +
      `${String(step.config.classes)} classes`,
    `${metric(fields.parameters)} parameters, ${metric(fields.trainable)} of them training, ` +
      `${metric(fields.flopsPerStep)}FLOP per step`,
    ...(fields.batchNorm === null ? [] : [`Batch norm: ${NORMS[fields.batchNorm]}`]),
    '',
    tableText(
      ['Memory', '>Bytes', '>Share'],
      rows.map(([name, bytes]) => [name, megabytes(bytes), share(bytes)]),
    ),
    '',
    tableText(
      ['Largest tensors', 'Role', '>Bytes', 'Live in steps'],
      fields.largest.map(({ name, role, bytes, live }) => [
        ...[name, role, megabytes(bytes), live ?? 'all'],
      ]),
    ),
    ...(fields.ranks === 'typical' ? ['', ...TYPICAL] : []),
  ];
}
