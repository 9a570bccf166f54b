/**
 * The tables of speed in docs/benchmarks.md, made from bench/results/*.json. What was not measured is
 * a dash; rows that we lose stay.
 */
import type { MachineRecord } from '../harness/machine.js';
import { disturbance, measuredText } from '../harness/machine.js';
import { markdownTable, number } from '../harness/table.js';
import type { InferenceResult } from '../inference/result.js';
import { PEERS } from '../peers/index.js';
import type { StartupResult } from '../startup/table.js';
import { counterpart, measuredRow, timesAsFast } from '../steps/compare.js';
import { oneThreadName, ownName } from '../steps/contestants.js';
import type { CaseResult } from '../steps/measure.js';
import { aimsTable } from './aims.js';

export interface StepResults {
  readonly results: readonly CaseResult[];
}

export interface InferenceResults {
  readonly machine: MachineRecord;
  readonly result: InferenceResult;
}

export interface StartupResults {
  readonly results: readonly StartupResult[];
}

/** @param inference null: not measured yet, as `startup` */
export function speedBlock(
  step: StepResults,
  inference: InferenceResults | null,
  startup: StartupResults | null,
): string {
  const measured = {
    steps: step.results,
    inference: inference && inference.result,
    startup: startup?.results ?? [],
  };
  return [
    'Aims of speed, and what was measured (× as fast as the one behind the slash; two threads',
    'where nothing else is said):\n',
    aimsTable(measured),
    'One full training step, the same weights, data and losses for everybody, rounds interleaved:',
    'how many times as fast Thimble is, native beside native and WebAssembly beside WebAssembly,',
    'and two threads beside one (below 1 Thimble is slower; – was not measured):\n',
    markdownTable(speedHead(), step.results.map(speedRow)),
    'Peak memory of the whole process, in MB:\n',
    markdownTable(memoryHead(), step.results.map(memoryRow)),
    ...(inference ? inferencePart(inference) : []),
    ...machineLines(step.results),
    '[All results](../bench/results/step.md).',
    '',
  ].join('\n');
}

const MEANS = ['native', 'wasm'] as const;

function speedHead(): readonly string[] {
  return [
    'step',
    ...PEERS.map(({ name, means }) => `>${means} / ${name}`),
    ...MEANS.map((means) => `>${means}, 2 threads / 1`),
  ];
}

function speedRow(result: CaseResult): readonly string[] {
  const beside = (name: string) => {
    const own = counterpart(name);
    const faster = own === null ? null : timesAsFast(result, own, name);
    return faster ? `${number(faster.median)} ×` : '–';
  };
  return [
    stepName(result),
    ...PEERS.map(({ name }) => beside(name)),
    ...MEANS.map((means) => beside(oneThreadName(means))),
  ];
}

function memoryHead(): readonly string[] {
  return [
    'step',
    ...MEANS.map((means) => `>${ownName(means)}`),
    ...PEERS.map(({ name }) => `>${name}`),
  ];
}

function memoryRow(result: CaseResult): readonly string[] {
  const names = [...MEANS.map(ownName), ...PEERS.map(({ name }) => name)];
  const peak = (name: string) => {
    const row = measuredRow(result, name);
    return row ? (row.rssPeakBytes / 1e6).toFixed(0) : '–';
  };
  return [stepName(result), ...names.map(peak)];
}

function stepName({ name, batch }: CaseResult): string {
  return `${name}, batch ${batch}`;
}

function inferencePart({ result, machine }: InferenceResults): readonly string[] {
  const measured = result.rows.filter((row) => 'times' in row);
  const batches = measured[0]?.times.map(({ batch }) => batch) ?? [];
  const head = [
    'forward pass',
    ...batches.flatMap((batch) => [`>ms, batch ${batch}`, '>time / native']),
    '>peak memory',
  ];
  const rows = measured.map(({ name, times, rssPeakBytes }) => [
    name,
    ...times.flatMap(({ ms, oursFaster }) => [number(ms.median), `${number(oursFaster.median)} ×`]),
    `${(rssPeakBytes / 1e6).toFixed(0)} MB`,
  ]);
  const warning = disturbance(machine);
  return [
    `A forward pass of ${result.model}, ${result.threads} threads; factored is`,
    `\`${result.method}\`; logits compared first ([all results](../bench/results/inference.md)):\n`,
    markdownTable(head, rows),
    ...(warning === null ? [] : [`${warning}\n`]),
  ];
}

/** Each case has a line of its own: they may have been measured one by one. */
function machineLines(results: readonly CaseResult[]): readonly string[] {
  const { cpu, cores } = results[0].machine;
  const cases = results.map(({ name, machine }) => {
    const warning = disturbance(machine);
    return `- ${name}: ${measuredText(machine)}.${warning === null ? '' : ` ${warning}`}`;
  });
  return [`${cpu}, ${cores} cores. Steps of\n`, ...cases, ''];
}
