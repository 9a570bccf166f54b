/** Where the time of one training step goes: by op, and by op with its shape. */
import { entryNamed, median, profileRows, type ProfileRow } from '@thimble/core';
import { markdownTable, number, percent } from '../harness/table.js';
import type { StepConfig } from './protocol.js';
import { StepTrainer, type StepExecutorName } from './trainer.js';

/** Median time of every step of the program over `repeats` profiled runs, as two tables. */
export async function profileStep(
  executor: StepExecutorName,
  config: StepConfig,
  repeats: number,
): Promise<string> {
  const trainer = await StepTrainer.load(executor, config);
  try {
    const { program } = trainer.executor;
    const runs: (readonly number[])[] = [];
    for (let run = 0; run < repeats; run++) {
      await trainer.step();
      trainer.writeBatch();
      const times = await trainer.executor.profile?.('step');
      if (!times) throw new Error(`executor ${executor} cannot profile`);
      runs.push(times);
    }
    const entry = entryNamed(program, 'step');
    const ms = entry.steps.map((_, index) => median(runs.map((run) => run[index])));
    const { byOp, byShape } = profileRows(program, [{ entry, ms, times: 1 }]);
    return `${profileTable(byOp)}\n${profileTable(byShape)}`;
  } finally {
    await trainer.executor.dispose();
  }
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
