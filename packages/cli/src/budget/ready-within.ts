/**
 * A program that is ready to train within the bytes of --memory.
 *
 *   choose    the options that are open, with typical ranks where the true ones are to be found
 *   prepare   finds the true ranks under the chosen ε
 *   fit       where these need more: another form of saved tensors, then fewer bytes for the inputs,
 *             then for the weights, with ranks chosen again from the same measurements
 */
import {
  BudgetError,
  foundRanks,
  megabytes,
  preparationBytes,
  type BoundMethod,
  type OptionAxis,
  type PrepareEvent,
  type PreparationBytes,
  type Preparation,
  type RankBudgets,
} from '@thimble/core';
import {
  budgetEvent,
  changes,
  chooseWithin,
  searchWithin,
  optionsWith,
  type BudgetChoice,
  type BudgetEvent,
  type BudgetRequest,
  type BatchCut,
} from './budget.js';
import { Garbage, returnFreedMemory } from '@thimble/native';
import type { Caller } from '../events/caller.js';
import { makeReady, readyFrom, type TrainingRequest, type Ready } from '../training/preparing.js';
import {
  bytesBesidePlan,
  executorBytes,
  largestTensor,
  residentBytes,
  REST,
  type Build,
  type MemoryRecord,
  type MemoryRequest,
  type ProcessLoad,
} from '../memory/process-memory.js';
import { checkStep } from '../step/step.js';
import { startedFound } from '../run/form.js';

export interface Fitting {
  readonly ready: Ready;
  readonly memory: MemoryRecord;
}

/** The ranks that were found need more than the typical ones for which was chosen. */
export interface FittedEvent {
  readonly event: 'fitted';
  /** Bytes that they need, and bytes that there are for them. */
  readonly planned: number;
  readonly room: number;
  /** What went for it. */
  readonly givenUp: readonly string[];
}

/** What happens while a program is made that fits. */
export type FittingEvent = PrepareEvent | BudgetEvent | FittedEvent;

/** Throws BudgetError when nothing fits, before anything is written, and what `makeReady` throws. */
export async function readyWithin(
  job: TrainingRequest,
  request: MemoryRequest,
  caller: Caller<FittingEvent>,
): Promise<Fitting> {
  const before = budgetRequestOf(job, request);
  const choice = chooseWithin(before);
  await settle(request, caller);
  caller.tell(budgetEvent(before, choice));
  caller.checkSignal();
  const { options, method, step } = choice;
  const found = await makeReady({ ...job, options, method }, caller, step);
  const { candidate } = choice;
  const givenUp = changes(choice.best, candidate, options.batch);
  const chosen = { budget: request.bytes, besidePlan: before.besidePlan(candidate), givenUp };
  if (!found.prepared) return { ready: found, memory: chosen };
  await new Garbage().settled();
  const after: BudgetRequest = { ...before, fixed: null, preparing: () => 0 };
  const room = request.bytes - after.besidePlan(candidate);
  const planned = executorBytes(found.step.program, job.threads, after.emitting(candidate));
  if (planned <= room) return { ready: found, memory: chosen };
  const { ready, said } = fitted(job, after, choice, found);
  caller.tell({ event: 'fitted', planned, room, givenUp: said });
  const besidePlan = after.besidePlan(candidate);
  return { ready, memory: { ...chosen, besidePlan, givenUp: [...givenUp, ...said] } };
}

/**
 * Frees what compiling left, and says so where the process has more than is counted for it: the choice does not
 * depend on it, so that it is the same at every start.
 */
async function settle({ images }: MemoryRequest, caller: Caller<never>): Promise<void> {
  const resident = await new Garbage().settled();
  const more = resident - residentBytes(thisBuild(), images);
  if (more <= 0) return;
  caller.note(
    'memory',
    `the process has ${megabytes(resident)} at its start, ${megabytes(more)} more than --memory ` +
      'counts for it here; it may take that much more than it was given',
  );
}

function budgetRequestOf(job: TrainingRequest, request: MemoryRequest): BudgetRequest {
  const { options, threads, start, method } = job;
  const { model: build } = checkStep(options, method).compileOptions;
  const load = loadOf(job, request, largestTensor(build(1, 'train')));
  const { imageSize } = options.model.config;
  const known = (cut: BatchCut): BoundMethod => {
    const pass = sliceImages(cut);
    const found = startedFound(method, { pass, imageSize }, start);
    if (found) return method.with(found);
    // Factors are as they were stored; of inputs in slices of another size typical ranks are known.
    const { activations } = foundRanks(method.findings(method.forward(build(pass, 'train'))));
    const { weights } = foundRanks(start?.form?.found ?? {});
    return method.with({ ranks: { weights, activations } });
  };
  const preparations = new Map<number, PreparationBytes>();
  const preparation = (cut: BatchCut): PreparationBytes | null => {
    const pass = sliceImages(cut);
    if (!start || startedFound(method, { pass, imageSize }, start)) return null;
    const asked = { model: build, method, batch: pass, threads };
    const bytes = preparations.get(pass) ?? preparationBytes(asked, start.checkpoint.shapes);
    preparations.set(pass, bytes);
    return bytes;
  };
  return {
    options,
    method,
    threads,
    budget: request.bytes,
    largest: request.largest,
    fixed: start?.form ? known : null,
    besidePlan: (cut) => {
      const found = preparation(cut);
      if (!found) return bytesBesidePlan(load, cut.pass, REST.training);
      return bytesBesidePlan(load, cut.pass, REST.grown + REST.prepared) + found.left;
    },
    preparing: (cut) => {
      const found = preparation(cut);
      return found ? bytesBesidePlan(load, cut.pass, REST.finding) + found.finding : 0;
    },
    emitting: (cut) => preparation(cut)?.emitting ?? 0,
  };
}

/** What Tucker ranks belong to. */
function sliceImages({ pass, slices }: BatchCut): number {
  return pass / slices;
}

function loadOf(
  { kind, preprocess }: TrainingRequest,
  { images, workers, largest }: MemoryRequest,
  tensorBytes: number,
): ProcessLoad {
  return {
    build: thisBuild(),
    images,
    imageSize: preprocess.size,
    workers,
    imageBytes: largest.bytes,
    tensorBytes,
    wasm: kind.name === 'wasm',
  };
}

function thisBuild(): Build {
  return {
    machine: `${process.platform}-${process.arch}`,
    version: process.versions.node,
    returnsMemory: returnFreedMemory(),
  };
}

/** What fits of a program that does not, and what went for it. */
interface Fitted {
  readonly ready: Ready;
  readonly said: readonly string[];
}

/** Throws BudgetError when the ranks that were found do not fit in any form. */
function fitted(
  job: TrainingRequest,
  after: BudgetRequest,
  { candidate }: BudgetChoice,
  found: Ready,
): Fitted {
  const { options } = job;
  const { method } = found.step;
  // Ranks of inputs belong to the images of a slice.
  const { pass, slices } = candidate;
  const cut = method.probe?.activations ? { microBatches: options.batch / pass, slices } : {};
  const open = { ...options, ...cut };
  const same: BudgetRequest = { ...after, options: open, fixed: () => method };
  const { choice, least } = searchWithin(same);
  if (choice) {
    const ready = { ...found, step: choice.step };
    return { ready, said: changes(candidate, choice.candidate, options.batch) };
  }
  const room = after.budget - after.besidePlan(least);
  const lowered = { ...job, options: optionsWith(options, least) };
  const budgets = found.prepared ? openBudgets(job, found.prepared) : [];
  const planned = ({ step }: Ready) =>
    executorBytes(step.program, job.threads, after.emitting(least));
  const { ready, said } = withLowerRanks(lowered, found, { open: budgets, room, planned });
  return { ready, said: [...changes(candidate, least, options.batch), ...said] };
}

/** The least share of its bytes that a weight is left: with less it is not worth training. */
const LEAST_SHARE = 0.25;

/** Halvings of the interval in which the largest budget of ranks is looked for. */
const HALVINGS = 6;

interface RankSearch {
  readonly open: readonly OpenBudget[];
  /** Bytes for the executor. */
  readonly room: number;
  readonly planned: (ready: Ready) => number;
}

/** Fewer bytes for compressed inputs, then for factored weights, where their ε was not said. */
function withLowerRanks(
  job: TrainingRequest,
  found: Ready,
  { open, room, planned }: RankSearch,
): Fitted {
  const garbage = new Garbage();
  const within = (budgets: RankBudgets) => {
    garbage.clear(); // of the program before
    return found.prepared ? readyFrom(found.prepared.within(budgets), job) : found;
  };
  let least = within({});
  let fixed: RankBudgets = {};
  const said: string[] = [];
  for (const { key, what, from, to } of open) {
    const at = (bytes: number) => within({ ...fixed, [key]: Math.floor(bytes) });
    least = at(to);
    let [low, high] = [to, from];
    for (let halving = 0; planned(least) <= room && halving < HALVINGS; halving++) {
      const middle = (low + high) / 2;
      const ready = at(middle);
      if (planned(ready) <= room) [low, least] = [middle, ready];
      else high = middle;
    }
    said.push(`${what} ${megabytes(from)} → ${megabytes(low)}`);
    if (planned(least) <= room) return { ready: least, said };
    fixed = { ...fixed, [key]: to };
  }
  throw new BudgetError({
    where: 'the ranks found',
    expected: `a plan of at most ${megabytes(room)}`,
    got: `${megabytes(planned(least))} with the smallest ranks of ${least.step.method.text}`,
    todo: 'Raise --memory, or choose a lower ε, a smaller --model or --image-size',
  });
}

/** A budget that may be lowered. */
interface OpenBudget {
  readonly key: keyof RankBudgets;
  readonly what: string;
  /** Bytes that ranks take, and the least that they may be left. */
  readonly from: number;
  readonly to: number;
}

function openBudgets(
  { method, start }: TrainingRequest,
  { tables }: Preparation,
): readonly OpenBudget[] {
  // Factors that were stored stay as they are.
  const isOpen = (along: OptionAxis) =>
    !start?.form && method.options.some(({ axis, values }) => axis === along && values.length > 1);
  const { weights, activations } = tables;
  const result: OpenBudget[] = [];
  if (activations && isOpen('activations')) {
    const { bytes: from, minimumBytes: to } = activations;
    result.push({ key: 'activationBytes', what: 'inputs', from, to });
  }
  if (weights && isOpen('weights')) {
    const { bytes: from, minimumBytes } = weights;
    const to = Math.max(minimumBytes, LEAST_SHARE * from);
    result.push({ key: 'weightBytes', what: 'weights', from, to });
  }
  return result;
}
