/**
 * Where the planned bytes of a training program go, beside what the WASI paper counts of them.
 *
 * Parts of a program's peak; they add up to it:
 *
 *   weights        of the counted linears, in the form in which they live             counted
 *   otherWeights   biases, norms, embeddings, linears that are not counted, buffers, tables
 *   inputs         of the counted linears: saved as they are, or core and factors     counted
 *   norm, gelu, attention, otherSaved   saved for the gradients of these
 *   optimizer      momentum and the like, accumulators of micro-batches
 *   transient      everything else at the widest moment: gradients, images, scratch, gaps
 *
 * A saved tensor belongs to the counted inputs if it is one, or a core; else to the first gradient
 * that reads it, directly or after it was unpacked. The paper counts two parts of the eight.
 */
import { opNamed } from '../ops/index.js';
import { matmul } from '../ops/matmul.js';
import { modeProduct } from '../ops/mode-product.js';
import { backwardStart, memoryReport, savedSlots } from '../plan/report.js';
import { updateEntries } from '../program.js';
import type { Entry, Program, Slot, Step } from '../program.js';
import type { PaperLayer } from './paper.js';

/** Bytes of a step by what they are for. */
export interface Breakdown {
  readonly weights: number;
  readonly otherWeights: number;
  readonly inputs: number;
  readonly norm: number;
  readonly gelu: number;
  readonly attention: number;
  readonly otherSaved: number;
  readonly optimizer: number;
  readonly transient: number;
}

type SavedPart = 'inputs' | 'norm' | 'gelu' | 'attention' | 'otherSaved';

/** Bytes by part; their sum is `plannedBytes(program, threads)`. */
export function breakdown(
  program: Program,
  layers: readonly PaperLayer[],
  threads: number,
): Breakdown {
  const report = memoryReport(program, threads);
  const counted = new Set(
    layers.flatMap(({ weight }) => [weight, `${weight}.left`, `${weight}.right`]),
  );
  const weights = sumBytes(
    program.slots.filter(({ role, name }) => role === 'parameter' && counted.has(name)),
  );
  const saved: Record<SavedPart, number> = {
    inputs: report.factorBytes,
    norm: 0,
    gelu: 0,
    attention: 0,
    otherSaved: 0,
  };
  // As in the report: the training entry that saves most.
  const [entry] = updateEntries(program)
    .map(({ entry: candidate }) => ({ candidate, slots: savedSlots(program, candidate) }))
    .sort((a, b) => sumBytes(b.slots) - sumBytes(a.slots));
  for (const slot of entry?.slots ?? []) {
    saved[savedPart(program, entry.candidate, slot, counted)] += slot.bytes;
  }
  return {
    weights,
    otherWeights: report.weightBytes + report.bufferBytes + report.tableBytes - weights,
    ...saved,
    optimizer: report.optimizerBytes,
    transient: report.transientBytes,
  };
}

/** What an op's gradient keeps tensors for; other readers are looked through. */
const READERS: Readonly<Record<string, SavedPart | undefined>> = {
  layernorm: 'norm',
  gelu: 'gelu',
  attention: 'attention',
};

function savedPart(
  program: Program,
  entry: Entry,
  saved: Slot,
  counted: ReadonlySet<string>,
): SavedPart {
  const slot = program.slots.indexOf(saved);
  const backward = backwardStart(entry);
  if (isInput(program, entry.steps.slice(0, backward), slot, counted)) return 'inputs';
  // What was saved, and what the backward pass unpacks or recomputes from it.
  const tensors = new Set([slot]);
  for (const step of entry.steps.slice(backward)) {
    if (!Object.values(step.inputs).some((input) => tensors.has(input))) continue;
    const { gradientOf } = opNamed(step.op);
    const part = gradientOf === undefined ? undefined : READERS[gradientOf];
    if (part) return part;
    for (const output of Object.values(step.outputs)) tensors.add(output);
  }
  return 'otherSaved';
}

/** True for the input of a counted linear, and for a core, which only such inputs have. */
function isInput(
  program: Program,
  forward: readonly Step[],
  slot: number,
  counted: ReadonlySet<string>,
): boolean {
  return forward.some(({ op, inputs, outputs }) => {
    if (op === modeProduct.name) return outputs['y'] === slot;
    const weight =
      op === matmul.name && inputs['a'] === slot ? program.slots[inputs['b']].name : '';
    return counted.has(weight);
  });
}

function sumBytes(slots: readonly Slot[]): number {
  return slots.reduce((sum, { bytes }) => sum + bytes, 0);
}
