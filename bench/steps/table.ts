/** The Markdown of one case of the step benchmark. */
import { disturbance, measuredText } from '../harness/machine.js';
import { markdownTable, megabytes, number, percent } from '../harness/table.js';
import { spread } from '../harness/statistics.js';
import { counterpart, shareOfPeak, timesAsFast } from './compare.js';
import { ownName } from './contestants.js';
import type { CaseResult, StepRow } from './measure.js';

export function stepTable(result: CaseResult): string {
  const { name, batch, threads, rounds, stepsPerTurn, rows, losses } = result;
  const measured = rows.filter((row) => 'ratioTo' in row);
  const yardstick = measured[0]?.ratioTo ?? '';
  const firstLosses = losses.map(number).join(', ');
  const head = [
    'contestant',
    '>ms/step',
    '>quartiles',
    `>time / ${yardstick}`,
    '>ours × as fast',
    '>GFLOP/s',
    '>peak memory',
    '>planned',
    '>arena',
  ];
  return [
    `## ${name}, batch ${batch}, full training, SGD, ${threads} threads\n`,
    markdownTable(head, rows.map(rowCells)),
    `Medians of ${rounds} interleaved rounds of ${stepsPerTurn} steps; the ratio is the median`,
    'of the ratios within each round, with its quartiles. Ours × as fast: our executor of the',
    'same kind (native or WebAssembly, all threads) beside the row; beside one thread, what the',
    'second is worth. Slow peers take one step in each of three rounds. GFLOP/s counts the',
    'operations of our program for everybody. Peak memory is that of the whole process (VmHWM),',
    `weights and batch included. The losses of the first steps agree within 0.1 %: ${firstLosses}.`,
    ...peakLines(result),
    ...whenLines(result),
  ].join('\n');

  function rowCells(row: StepRow): readonly string[] {
    if ('missing' in row) return [row.name, `not available: ${row.missing}`];
    const { ms, ratio, ready, rssPeakBytes } = row;
    const flops = measured.find((one) => one.ready.flopsPerStep !== undefined)?.ready.flopsPerStep;
    const bytes = (count: number | undefined) => (count === undefined ? '' : megabytes(count));
    return [
      `${row.name} (${ready.version})`,
      number(ms.median),
      `${number(ms.low)} – ${number(ms.high)}`,
      `${number(ratio.median)} (${number(ratio.low)} – ${number(ratio.high)})`,
      oursBeside(row.name),
      flops === undefined ? '' : number(flops / ms.median / 1e6),
      megabytes(rssPeakBytes),
      bytes(ready.plannedBytes),
      bytes(ready.arenaBytes),
    ];
  }

  function oursBeside(name: string): string {
    const own = counterpart(name);
    const faster = own === null ? null : timesAsFast(result, own, name);
    if (!faster) return '';
    return `${number(faster.median)} (${number(faster.low)} – ${number(faster.high)})`;
  }
}

/** Cases are measured one by one: each has its own date and disturbance. */
function whenLines({ machine }: CaseResult): readonly string[] {
  const warning = disturbance(machine);
  return [
    `This case: ${measuredText(machine)}.\n`,
    ...(warning === null ? [] : [`**${warning}**\n`]),
  ];
}

/** What the native step makes of the machine. */
function peakLines(result: CaseResult): readonly string[] {
  const share = shareOfPeak(result, ownName('native'));
  if (!share || !result.peak) return [''];
  const peak = spread(result.peak.flat());
  return [
    `The FMA peak of ${result.threads} threads, measured in turn: ${number(peak.median)} GFLOP/s`,
    `(${number(peak.low)} – ${number(peak.high)}); thimble native reaches ${percent(share.median)}`,
    `of it (${percent(share.low)} – ${percent(share.high)}, within rounds).\n`,
  ];
}
