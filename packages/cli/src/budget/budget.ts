/**
 * --memory: the bytes that the whole process may take. What the user leaves open (the form of saved
 * tensors, the micro-batches of a batch and their slices, explained variances) is chosen for it; see search.ts.
 */
import {
  BudgetError,
  megabytes,
  parseMethod,
  SAVED_FORMS,
  SMALLEST_METHOD,
  type BoundMethod,
  type SavedForm,
} from '@thimble/core';
import type { Reading } from '../data/image-file.js';
import { counted } from '../terminal/format.js';
import { Garbage } from '@thimble/native';
import { passesOf, searchPlans, type Candidate, type SearchSpace } from './search.js';
import { methodLadder } from './method-ladder.js';
import { executorBytes } from '../memory/process-memory.js';
import { slicesOf } from '../step/slices.js';
import { checkStep, compileStep, type CompiledStep, type StepOptions } from '../step/step.js';

/** What a budget is shared out to. */
export interface BudgetRequest {
  readonly options: StepOptions;
  /** With what its text leaves open. */
  readonly method: BoundMethod;
  readonly threads: number;
  /** Bytes of the whole process. */
  readonly budget: number;
  /** The image that takes the most to be read. */
  readonly largest: Reading;
  /** The method for a batch that is cut like this, where nothing of it may be chosen. */
  readonly fixed: ((cut: BatchCut) => BoundMethod) | null;
  /** Bytes beside the plan while training. */
  besidePlan(cut: BatchCut): number;
  /** Bytes of the whole process while ranks are found; 0 where none are. */
  preparing(cut: BatchCut): number;
  /** Bytes beside executor and process while weights are emitted; 0 where they are only read. */
  emitting(cut: BatchCut): number;
}

/** How a batch is cut: images of a micro-batch, and the slices of one. */
export type BatchCut = Pick<Candidate, 'pass' | 'slices'>;

/** The options of a step with what was chosen for them. */
export interface BudgetChoice {
  readonly options: StepOptions;
  readonly method: BoundMethod;
  /** With typical or known ranks. */
  readonly step: CompiledStep;
  readonly candidate: Candidate;
  /** The best that was open; what is not like it was given up. */
  readonly best: Candidate;
  readonly tried: number;
}

/** Throws BudgetError, naming the least that is possible, when nothing fits. */
export function chooseWithin(request: BudgetRequest): BudgetChoice {
  const { choice, least } = searchWithin(request);
  if (choice) return choice;
  throw tooSmall(request, least);
}

/** `least` is the candidate of the fewest bytes when nothing fits. */
export function searchWithin(request: BudgetRequest): {
  readonly choice: BudgetChoice | null;
  readonly least: Candidate;
} {
  const space = spaceOf(request);
  const [pass] = space.passes;
  const [slices] = space.slicesOf(pass);
  const best = { method: space.methods[0][0], saved: space.saved[0], pass, slices };
  const compiler = new CandidateCompiler(request);
  const bytesOf = (candidate: Candidate) => compiler.bytesOf(candidate).bytes;
  const { chosen, least, tried } = searchPlans(space, bytesOf, request.budget);
  if (!chosen) return { choice: null, least: least.candidate };
  const choice = {
    options: optionsWith(request.options, chosen),
    method: methodOf(request, chosen),
    step: compiler.step(chosen),
    ...{ candidate: chosen, best, tried },
  };
  return { choice, least: least.candidate };
}

/** What was chosen for --memory. */
export interface BudgetEvent {
  readonly event: 'budget';
  /** Bytes for the whole process, and those of them beside the plan. */
  readonly budget: number;
  readonly besidePlan: number;
  readonly method: string;
  readonly saved: SavedForm;
  readonly batch: number;
  readonly microBatches: number;
  readonly slices: number;
  /** What would have been better and did not fit, as in `saved exact → compact`. */
  readonly givenUp: readonly string[];
  /** Programs that were compiled to find it. */
  readonly tried: number;
}

export function budgetEvent(request: BudgetRequest, choice: BudgetChoice): BudgetEvent {
  const { batch } = request.options;
  const { candidate, best, tried } = choice;
  const { method, saved, pass, slices } = candidate;
  return {
    event: 'budget',
    budget: request.budget,
    besidePlan: request.besidePlan(candidate),
    ...{ method: method.text, saved, batch, microBatches: batch / pass, slices },
    givenUp: changes(best, candidate, batch),
    tried,
  };
}

/** `saved exact → compact` and the like. */
export function changes(best: Candidate, chosen: Candidate, batch: number): readonly string[] {
  const of = (what: string, from: string, to: string) =>
    from === to ? [] : [`${what} ${from} → ${to}`];
  return [
    ...of('slices', String(best.slices), String(chosen.slices)),
    ...of('saved', best.saved, chosen.saved),
    ...of('micro-batches', String(batch / best.pass), String(batch / chosen.pass)),
    ...of('method', best.method.text, chosen.method.text),
  ];
}

/** The options with what a candidate says. */
export function optionsWith(options: StepOptions, candidate: Candidate): StepOptions {
  const { saved, pass, slices } = candidate;
  return { ...options, saved, microBatches: options.batch / pass, slices };
}

function spaceOf({ options, method: open, fixed }: BudgetRequest): SearchSpace {
  const { batch, microBatches, slices } = options;
  const all = microBatches === undefined ? passesOf(batch) : [batch / microBatches];
  const passes = all.filter((pass) => slices === undefined || pass % slices === 0);
  const [pass = batch] = passes;
  // Says which form is the default, and refuses options that go with nothing.
  const { saved, method, model } = checkStep(
    options,
    fixed?.({ pass, slices: slices ?? 1 }) ?? open,
  );
  const forms = Object.values(SAVED_FORMS).map(({ form }): SavedForm => form);
  return {
    methods: fixed ? [[method]] : methodLadder(method),
    saved: options.saved === undefined ? forms.slice(forms.indexOf(saved)) : [saved],
    passes,
    slicesOf: (images) => (slices === undefined ? slicesOf(model, images) : [slices]),
  };
}

interface CandidateBytes {
  /** The larger of what preparing and training take. */
  readonly bytes: number;
  readonly plan: number;
  readonly isPreparing: boolean;
}

/** Compiles candidates one by one and keeps the last one: it is often the one that is chosen. */
class CandidateCompiler {
  private readonly request: BudgetRequest;
  private last: { readonly candidate: Candidate; readonly step: CompiledStep } | null = null;

  constructor(request: BudgetRequest) {
    this.request = request;
  }

  step(candidate: Candidate): CompiledStep {
    if (this.last && isSame(this.last.candidate, candidate)) return this.last.step;
    const { request } = this;
    const options = optionsWith(request.options, candidate);
    this.last = null; // never two programs at a time
    const step = compileStep(checkStep(options, methodOf(request, candidate)));
    this.last = { candidate, step };
    return step;
  }

  bytesOf(candidate: Candidate): CandidateBytes {
    const { request } = this;
    const { program } = this.step(candidate);
    const plan = executorBytes(program, request.threads, request.emitting(candidate));
    new Garbage().clear(); // of many programs, which would stay resident
    const training = request.besidePlan(candidate) + plan;
    const preparing = request.preparing(candidate);
    return { bytes: Math.max(preparing, training), plan, isPreparing: preparing > training };
  }
}

function isSame(one: Candidate, other: Candidate): boolean {
  const isSameCut = one.pass === other.pass && one.slices === other.slices;
  return one.method === other.method && one.saved === other.saved && isSameCut;
}

function methodOf({ fixed }: BudgetRequest, candidate: Candidate): BoundMethod {
  return fixed ? fixed(candidate) : candidate.method;
}

/** Of what is needed, when an image is worth a word. */
const LARGE_SHARE = 0.1;

function tooSmall(request: BudgetRequest, least: Candidate): BudgetError {
  const { options, budget } = request;
  const { bytes, plan, isPreparing } = new CandidateCompiler(request).bytesOf(least);
  const what = isPreparing
    ? 'to find the ranks of'
    : `${megabytes(bytes - plan)} for the process and ${megabytes(plan)} for the plan of`;
  const { path, bytes: reading } = request.largest;
  const image =
    reading < LARGE_SHARE * bytes
      ? ''
      : `make ${path} smaller (${megabytes(reading)} of it are to read this image), `;
  const smaller = smallestMethod(request, least);
  const other = smaller
    ? `--method ${smaller.text}, which fits`
    : 'a smaller --model or --image-size';
  return new BudgetError({
    where: `--memory ${megabytes(budget)}`,
    expected: `at least ${megabytes(bytes)}: ${what} ${described(least, options.batch)}`,
    got: megabytes(budget),
    todo: `Raise --memory, leave more open, ${image}or choose ${other}`,
  });
}

/** The method of the least memory, where it is another one and would fit. */
function smallestMethod(request: BudgetRequest, least: Candidate): BoundMethod | null {
  if (request.fixed || least.method.name === SMALLEST_METHOD) return null;
  const method = parseMethod(SMALLEST_METHOD);
  const none = () => 0;
  const compiler = new CandidateCompiler({ ...request, preparing: none, emitting: none });
  const { bytes } = compiler.bytesOf({ method, saved: 'exact', pass: 1, slices: 1 });
  return bytes <= request.budget ? method : null;
}

function described({ method, saved, pass, slices }: Candidate, batch: number): string {
  return choiceText({ method: method.text, saved, batch, microBatches: batch / pass, slices });
}

/** `wasi, saved compact, 4 micro-batches of 4 images in 2 slices`. */
export function choiceText({
  method,
  saved,
  batch,
  microBatches,
  slices,
}: Pick<BudgetEvent, 'method' | 'saved' | 'batch' | 'microBatches' | 'slices'>): string {
  const cut =
    microBatches === 1
      ? 'one micro-batch'
      : `${String(microBatches)} micro-batches of ${counted(batch / microBatches, 'image')}`;
  const sliced = slices === 1 ? '' : ` in ${String(slices)} slices`;
  return `${method}, saved ${saved}, ${cut}${sliced}`;
}
