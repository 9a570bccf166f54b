/**
 * Where the time of one training step goes, by op and by op with its shape, and the least that it
 * could take: its operations at the multiply-add peak that was measured in turn.
 */
import { entryNamed, median, profileRows, type PeakMeter, type ProfileRow } from '@thimble/core';
import { markdownTable, number, percent } from '../harness/table.js';
import type { StepConfig } from './protocol.js';
import { STEP_EXECUTORS, StepTrainer, type StepExecutorName } from './trainer.js';

/** Bytes of a copy that no cache holds. */
const COPIED_BYTES = 64e6;

/** Median time of every step of the program over `repeats` profiled runs, as text. */
export async function profileStep(
  executor: StepExecutorName,
  config: StepConfig,
  repeats: number,
): Promise<string> {
  const trainer = await StepTrainer.load(executor, config);
  const meter = await STEP_EXECUTORS[executor].peaks({ threads: config.threads });
  try {
    const { program } = trainer.executor;
    const runs: (readonly number[])[] = [];
    const peaks: number[] = [];
    for (let run = 0; run < repeats; run++) {
      await trainer.step();
      trainer.writeBatch();
      const times = await trainer.executor.profile?.('step');
      if (!times) throw new Error(`executor ${executor} cannot profile`);
      runs.push(times);
      peaks.push((await meter.flops()) / 1e9);
    }
    const entry = entryNamed(program, 'step');
    const ms = entry.steps.map((_, index) => median(runs.map((run) => run[index])));
    const { byOp, byShape } = profileRows(program, [{ entry, ms, times: 1 }]);
    const bound = await boundText(byOp, median(peaks), meter);
    return `${bound}\n${profileTable(byOp)}\n${profileTable(byShape)}`;
  } finally {
    await meter.dispose();
    await trainer.executor.dispose();
  }
}

async function boundText(
  byOp: readonly ProfileRow[],
  peak: number,
  meter: PeakMeter,
): Promise<string> {
  const flops = byOp.reduce((sum, row) => sum + row.flops, 0);
  const ms = byOp.reduce((sum, row) => sum + row.ms, 0);
  const least = flops / peak / 1e6;
  const copy = (await meter.copy(COPIED_BYTES)) / 1e9;
  return [
    `${number(flops / 1e9)} GFLOP; the multiply-add peak is ${number(peak)} GFLOP/s, so that a step takes`,
    `at least ${number(least)} ms; it took ${number(ms)} ms (${percent(least / ms)} of the peak). Copies`,
    `move ${number(copy)} GB/s.\n`,
  ].join('\n');
}

function profileTable(groups: readonly ProfileRow[]): string {
  const total = groups.reduce((sum, { ms }) => sum + ms, 0);
  const head = ['op', '>calls', '>ms', '>share', '>GFLOP/s', '>GB/s'];
  const rows = groups.map(({ name, calls, ms, flops, bytes }) => [
    name,
    String(calls),
    number(ms),
    percent(ms / total),
    number(flops / ms / 1e6),
    number(bytes / ms / 1e6),
  ]);
  return markdownTable(head, [...rows, ['all', '', number(total), '100 %', '', '']]);
}
