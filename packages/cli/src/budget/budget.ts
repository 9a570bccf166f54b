/**
 * --memory: the bytes that the whole process may take. What the user leaves open (the form of saved
 * tensors, the passes of a batch, explained variances) is chosen for it; see search.ts.
 */
import {
  BudgetError,
  megabytes,
  parseMethod,
  SAVED_FORMS,
  type BoundMethod,
  type SavedForm,
} from '@thimble/core';
import type { Reading } from '../data/image-file.js';
import { counted } from '../terminal/format.js';
import { Garbage } from '@thimble/native';
import { passesOf, searchPlans, type Candidate, type SearchSpace } from './search.js';
import { methodLadder } from './method-ladder.js';
import type { Output } from '../terminal/output.js';
import { executorBytes } from '../memory/process-memory.js';
import { givenKeys, setUp, type StepOptions } from '../step/setup.js';

/** What a budget is shared out to. */
export interface BudgetJob {
  readonly step: StepOptions;
  readonly threads: number;
  /** Bytes of the whole process. */
  readonly budget: number;
  /** The image that takes the most to be read. */
  readonly largest: Reading;
  /** The method for passes of this many images, where its text is not to be changed. */
  readonly fixed: ((pass: number) => BoundMethod) | null;
  /** Bytes beside the plan while training. */
  besidePlan(pass: number): number;
  /** Bytes of the whole process while ranks are found; 0 where none are. */
  preparing(pass: number): number;
  /** Bytes beside executor and process while weights are emitted; 0 where they are only read. */
  emitting(pass: number): number;
}

/** The options of a step with what was chosen for them. */
export interface BudgetChoice {
  readonly step: StepOptions;
  readonly method: BoundMethod;
  readonly candidate: Candidate;
  /** The best that was open; what is not like it was given up. */
  readonly best: Candidate;
  readonly tried: number;
}

/** Throws BudgetError, naming the least that is possible, when nothing fits. */
export function chooseWithin(job: BudgetJob): BudgetChoice {
  const { choice, least } = searchWithin(job);
  if (choice) return choice;
  throw tooSmall(job, least);
}

/** `least` is the candidate of the fewest bytes when nothing fits. */
export function searchWithin(job: BudgetJob): {
  readonly choice: BudgetChoice | null;
  readonly least: Candidate;
} {
  const space = spaceOf(job);
  const best = { method: space.methods[0][0], saved: space.saved[0], pass: space.passes[0] };
  const bytesOf = (candidate: Candidate) => needsOf(job, candidate).bytes;
  const { chosen, least, tried } = searchPlans(space, bytesOf, job.budget);
  if (!chosen) return { choice: null, least: least.candidate };
  const step = stepWith(job.step, chosen);
  const choice = { step, method: methodOf(job, chosen), candidate: chosen, best, tried };
  return { choice, least: least.candidate };
}

/** Says what was chosen and what was given up for it. */
export function sayBudget(job: BudgetJob, choice: BudgetChoice, output: Output): void {
  const { budget, step } = job;
  const { candidate, best, tried } = choice;
  const { method, saved, pass } = candidate;
  const besidePlan = job.besidePlan(pass);
  const givenUp = changes(best, candidate, step.batch);
  const chosen = { method, saved, microBatches: step.batch / pass };
  output.event('budget', { budget, besidePlan, ...chosen, givenUp, tried });
  const given = givenUp.length === 0 ? 'nothing given up' : `given up: ${givenUp.join(', ')}`;
  output.line(
    `Budget     ${megabytes(budget)}, ${megabytes(besidePlan)} of it for the process beside the plan`,
  );
  output.line(`Chosen     ${described(candidate, step.batch)}; ${given}`);
}

/** `saved exact → compact` and the like. */
export function changes(best: Candidate, chosen: Candidate, batch: number): readonly string[] {
  const of = (what: string, from: string, to: string) =>
    from === to ? [] : [`${what} ${from} → ${to}`];
  return [
    ...of('saved', best.saved, chosen.saved),
    ...of('passes', String(batch / best.pass), String(batch / chosen.pass)),
    ...of('method', best.method, chosen.method),
  ];
}

/** A step with what a candidate says. */
export function stepWith(step: StepOptions, { method, saved, pass }: Candidate): StepOptions {
  return { ...step, method, saved, microBatches: step.batch / pass };
}

function spaceOf({ step, fixed }: BudgetJob): SearchSpace {
  const { batch, microBatches } = step;
  const passes = microBatches === undefined ? passesOf(batch) : [batch / microBatches];
  // Says which form is the default, and refuses options that go with nothing.
  const { saved, method } = setUp(step, fixed?.(passes[0]));
  const forms = Object.values(SAVED_FORMS).map(({ form }): SavedForm => form);
  return {
    methods: fixed ? [[method.text]] : methodLadder(step.method ?? 'full', givenKeys(step)),
    saved: step.saved === undefined ? forms.slice(forms.indexOf(saved)) : [saved],
    passes,
  };
}

interface Needs {
  /** The larger of what preparing and training take. */
  readonly bytes: number;
  readonly plan: number;
  readonly isPreparing: boolean;
}

function needsOf(job: BudgetJob, candidate: Candidate): Needs {
  const { step, threads } = job;
  const method = methodOf(job, candidate);
  const { program } = setUp(stepWith(step, candidate), method);
  const plan = executorBytes(program, threads, job.emitting(candidate.pass));
  new Garbage().clear(); // of many programs, which would stay resident
  const training = job.besidePlan(candidate.pass) + plan;
  const preparing = job.preparing(candidate.pass);
  return { bytes: Math.max(preparing, training), plan, isPreparing: preparing > training };
}

function methodOf({ step, fixed }: BudgetJob, { method, pass }: Candidate): BoundMethod {
  return fixed ? fixed(pass) : parseMethod(method, givenKeys(step));
}

/** Of what is needed, when an image is worth a word. */
const LARGE_SHARE = 0.1;

function tooSmall(job: BudgetJob, least: Candidate): BudgetError {
  const { step, budget } = job;
  const { bytes, plan, isPreparing } = needsOf(job, least);
  const what = isPreparing
    ? 'to find the ranks of'
    : `${megabytes(bytes - plan)} for the process and ${megabytes(plan)} for the plan of`;
  const { path, bytes: reading } = job.largest;
  const image =
    reading < LARGE_SHARE * bytes
      ? ''
      : `make ${path} smaller (${megabytes(reading)} of it are to read this image), `;
  const other = headFits(job) ? '--method head, which fits' : 'a smaller --model or --image-size';
  return new BudgetError({
    where: `--memory ${megabytes(budget)}`,
    expected: `at least ${megabytes(bytes)}: ${what} ${described(least, step.batch)}`,
    got: megabytes(budget),
    todo: `Raise --memory, leave more open, ${image}or choose ${other}`,
  });
}

/** Whether training the head alone would fit. */
function headFits(job: BudgetJob): boolean {
  if (job.fixed || job.step.method === 'head') return false;
  const head = { method: 'head', saved: 'exact', pass: 1 } as const;
  const none = () => 0;
  const other = { fixed: () => parseMethod('head'), preparing: none, emitting: none };
  const { bytes } = needsOf({ ...job, ...other }, head);
  return bytes <= job.budget;
}

function described({ method, saved, pass }: Candidate, batch: number): string {
  const cut =
    pass === batch ? 'one pass' : `${String(batch / pass)} passes of ${counted(pass, 'image')}`;
  return `${method}, saved ${saved}, ${cut}`;
}
