/** Where the time of one training step goes: by kind of op with its shape, and by op. */
import {
  entryNamed,
  opNamed,
  stepTypes,
  type Program,
  type Step,
  type TensorType,
} from '@thimble/core';
import { markdownTable, number, percent } from '../harness/table.js';
import { median } from '../harness/statistics.js';
import type { StepConfig } from './protocol.js';
import { StepTrainer, type StepExecutorName } from './trainer.js';

/** Steps that are the same work under the same name. */
interface Group {
  readonly name: string;
  calls: number;
  ms: number;
  flops: number;
  bytes: number;
}

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
    const { steps } = entryNamed(program, 'step');
    const ms = steps.map((_, index) => median(runs.map((run) => run[index])));
    const byOp = grouped(program, steps, ms, (step) => step.op);
    const byShape = grouped(program, steps, ms, (step) => describe(program, step));
    return `${profileTable(byOp)}\n${profileTable(byShape)}`;
  } finally {
    await trainer.executor.dispose();
  }
}

function grouped(
  program: Program,
  steps: readonly Step[],
  ms: readonly number[],
  nameOf: (step: Step) => string,
): readonly Group[] {
  const groups = new Map<string, Group>();
  steps.forEach((step, index) => {
    const op = opNamed(step.op);
    if (op.view) return;
    const name = nameOf(step);
    const group = groups.get(name) ?? { name, calls: 0, ms: 0, flops: 0, bytes: 0 };
    group.calls++;
    group.ms += ms[index];
    group.flops += op.flops(stepTypes(program, step), step.params);
    group.bytes += operandBytes(program, step);
    groups.set(name, group);
  });
  return [...groups.values()].sort((a, b) => b.ms - a.ms);
}

function profileTable(groups: readonly Group[]): string {
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

/** Each operand once: what must move between memory and the cores at least. */
function operandBytes(program: Program, step: Step): number {
  const slots = new Set([...Object.values(step.inputs), ...Object.values(step.outputs)]);
  return [...slots].reduce((sum, slot) => sum + program.slots[slot].bytes, 0);
}

/** The op with what its speed depends on: `matmul NT 8×197×192 · 576×192 bias gelu`. */
function describe(program: Program, step: Step): string {
  const types = stepTypes(program, step);
  const shape = (type: TensorType | undefined) => type?.shape.join('×') ?? '';
  if (step.op !== 'matmul') {
    return `${step.op} ${shape(types[Object.keys(step.inputs)[0]])}`;
  }
  const letter = (flag: unknown) => (flag === true ? 'T' : 'N');
  const { transA, transB, gelu } = step.params;
  const extras = ['bias', 'residual'].filter((name) => types[name]);
  return [
    `matmul ${letter(transA)}${letter(transB)} ${shape(types['a'])} · ${shape(types['b'])}`,
    ...extras,
    ...(gelu === true ? ['gelu'] : []),
  ].join(' ');
}
