/**
 * Programs with one to three changes of a kind that their reader has to see through: a place, a life, an
 * operand, a shape with the bytes that go with it, another op, another order of steps.
 */
import {
  bytesOf,
  OPS,
  type Entry,
  type Program,
  type Random,
  type Slot,
  type Step,
} from '@thimble/core';
import { pick } from './mutate.js';

/** `program` with one to three changes. */
export function damagedProgram(random: Random, program: Program): Program {
  let result = program;
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    result = pick(random, CHANGES)(random, result);
  }
  return result;
}

type Change = (random: Random, program: Program) => Program;

const NUMBERS = ['offset', 'offset', 'bytes', 'first', 'last', 'root'] as const;
const SIZES = ['persistentBytes', 'arenaBytes', 'scratchBytes'] as const;
const ROLES: readonly Slot['role'][] = [
  ...(['parameter', 'buffer', 'state', 'constant', 'table', 'input', 'output'] as const),
  ...(['saved', 'gradient', 'temporary', 'workspace'] as const),
];

const CHANGES: readonly Change[] = [
  // A number of a slot becomes another slot's, or moves a little.
  (random, program) => {
    const key = pick(random, NUMBERS);
    const step = key === 'offset' ? 64 : 1;
    const value = pick(random, program.slots)[key];
    return withSlot(random, program, (slot) => ({
      [key]: random.below(2) === 0 ? value : Math.max(0, slot[key] + step * pick(random, [-1, 1])),
    }));
  },
  (random, program) => withSlot(random, program, () => ({ role: pick(random, ROLES) })),
  (random, program) =>
    withSlot(random, program, () => ({ type: pick(random, program.slots).type })),
  // Another shape with its bytes, for all slots of that type.
  (random, program) => {
    const { type } = pick(random, program.slots);
    const shape = [...type.shape];
    if (shape.length > 0) shape[random.below(shape.length)] = 1 + random.below(9);
    const other = { ...type, shape };
    const slots = program.slots.map((slot) =>
      String(slot.type.shape) === String(type.shape) && slot.type.dtype === type.dtype
        ? { ...slot, type: other, bytes: bytesOf(other) }
        : slot,
    );
    return { ...program, slots };
  },
  (random, program) => ({ ...program, [pick(random, SIZES)]: 64 * random.below(200) }),
  // Two slots change places.
  (random, program) => {
    const [a, b] = [random.below(program.slots.length), random.below(program.slots.length)];
    const slots = program.slots.map((slot, index) => {
      if (index === a) return { ...slot, offset: program.slots[b].offset };
      return index === b ? { ...slot, offset: program.slots[a].offset } : slot;
    });
    return { ...program, slots };
  },
  // An operand, result or workspace becomes another slot.
  (random, program) =>
    withStep(random, program, (step) => {
      const key = pick(random, ['inputs', 'outputs', 'workspace'] as const);
      const slot = random.below(program.slots.length);
      if (key === 'workspace') return { workspace: random.below(3) === 0 ? null : slot };
      const names = Object.keys(step[key]);
      return names.length === 0 ? {} : { [key]: { ...step[key], [pick(random, names)]: slot } };
    }),
  // Two operands of a step change places.
  (random, program) =>
    withStep(random, program, ({ inputs }) => {
      const names = Object.keys(inputs);
      if (names.length < 2) return {};
      const [a, b] = [pick(random, names), pick(random, names)];
      return { inputs: { ...inputs, [a]: inputs[b], [b]: inputs[a] } };
    }),
  (random, program) => withStep(random, program, () => ({ op: pick(random, Object.keys(OPS)) })),
  // Params of another sample of the op.
  (random, program) =>
    withStep(random, program, ({ op }) => {
      const known = Object.values(OPS).find(({ name }) => name === op);
      return known
        ? { params: pick<{ readonly params: Step['params'] }>(random, known.samples).params }
        : {};
    }),
  (random, program) =>
    withStep(random, program, ({ params }) => {
      const names = Object.keys(params);
      if (names.length === 0) return {};
      const values = [0, 1, 2, 0.5, -1, 3, 7, true, false, '6', 1e-30, 1e38];
      return { params: { ...params, [pick(random, names)]: pick(random, values) } };
    }),
  // Two steps change places; one is left out or comes twice.
  (random, program) =>
    withEntry(random, program, ({ steps }) => {
      const at = random.below(steps.length);
      const kind = random.below(3);
      if (kind === 0) return { steps: steps.filter((_, index) => index !== at) };
      if (kind === 1)
        return { steps: [...steps.slice(0, at), ...steps.slice(Math.max(0, at - 1))] };
      const other = Math.min(steps.length - 1, at + 1);
      return { steps: steps.with(at, steps[other]).with(other, steps[at]) };
    }),
  // What the host sees of an entry.
  (random, program) =>
    withEntry(random, program, (entry) => {
      const key = pick(random, ['inputs', 'outputs'] as const);
      const names = Object.keys(entry[key]);
      if (names.length === 0) return {};
      return {
        [key]: { ...entry[key], [pick(random, names)]: random.below(program.slots.length) },
      };
    }),
];

function withSlot(
  random: Random,
  program: Program,
  change: (slot: Slot) => Partial<Slot>,
): Program {
  const at = random.below(program.slots.length);
  const slot = program.slots[at];
  return { ...program, slots: program.slots.with(at, { ...slot, ...change(slot) }) };
}

function withEntry(
  random: Random,
  program: Program,
  change: (entry: Entry) => Partial<Entry>,
): Program {
  const at = random.below(program.entries.length);
  const entry = program.entries[at];
  if (entry.steps.length === 0) return program;
  return { ...program, entries: program.entries.with(at, { ...entry, ...change(entry) }) };
}

function withStep(
  random: Random,
  program: Program,
  change: (step: Step) => Partial<Step>,
): Program {
  return withEntry(random, program, ({ steps }) => {
    const at = random.below(steps.length);
    return { steps: steps.with(at, { ...steps[at], ...change(steps[at]) }) };
  });
}
