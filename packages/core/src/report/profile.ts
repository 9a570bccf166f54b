/** Where the time of a step goes: by op, and by op with its shape. */
import type { TensorType } from '../ir/types.js';
import { opNamed } from '../ops/index.js';
import { matmul } from '../ops/matmul.js';
import { stepTypes, type Entry, type Program, type Step } from '../program.js';

/** Steps that are the same work under the same name. */
export interface ProfileRow {
  readonly name: string;
  readonly calls: number;
  readonly ms: number;
  readonly flops: number;
  /** Every operand of a step once: what must move between memory and the cores at least. */
  readonly bytes: number;
}

/** Each list has all of the time; the slowest come first. */
export interface ProfileRows {
  readonly byOp: readonly ProfileRow[];
  readonly byShape: readonly ProfileRow[];
}

/** An entry with the milliseconds of each of its steps, as `Executor.profile` gives them. */
export interface ProfiledEntry {
  readonly entry: Entry;
  readonly ms: readonly number[];
  /** How often it runs: `micro` once for each micro-batch. */
  readonly times: number;
}

/** The rows of all `entries` together. */
export function profileRows(program: Program, entries: readonly ProfiledEntry[]): ProfileRows {
  return {
    byOp: grouped(program, entries, (step) => step.op),
    byShape: grouped(program, entries, (step) => describe(program, step)),
  };
}

function grouped(
  program: Program,
  entries: readonly ProfiledEntry[],
  nameOf: (step: Step) => string,
): readonly ProfileRow[] {
  const rows = new Map<string, ProfileRow>();
  for (const { entry, ms, times } of entries) {
    entry.steps.forEach((step, index) => {
      const op = opNamed(step.op);
      if (op.view) return;
      const name = nameOf(step);
      const before = rows.get(name) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 };
      rows.set(name, {
        name,
        calls: before.calls + times,
        ms: before.ms + times * ms[index],
        flops: before.flops + times * op.flops(stepTypes(program, step), step.params),
        bytes: before.bytes + times * operandBytes(program, step),
      });
    });
  }
  return [...rows.values()].sort((a, b) => b.ms - a.ms);
}

function operandBytes(program: Program, step: Step): number {
  const slots = new Set([...Object.values(step.inputs), ...Object.values(step.outputs)]);
  return [...slots].reduce((sum, slot) => sum + program.slots[slot].bytes, 0);
}

/** The op with what its speed depends on: `matmul NT 8×197×192 · 576×192 bias gelu`. */
function describe(program: Program, step: Step): string {
  const types = stepTypes(program, step);
  const shape = (type: TensorType | undefined) => type?.shape.join('×') ?? '';
  if (step.op !== matmul.name) {
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
