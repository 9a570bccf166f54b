/**
 * Events of the library as the command says them: lines and bars for people, or with --json one JSON line for each
 * that a program may want.
 */
import { megabytes, type PrepareEvent } from '@thimble/core';
import { choiceText, type BudgetEvent } from '../budget/budget.js';
import type { FittedEvent } from '../budget/ready-within.js';
import type { ProgressEvent, Task } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import type { LibraryEvent } from '../library/events.js';
import type { InputsEvent } from '../library/predict.js';
import type { ResumedEvent } from '../library/resume.js';
import type { WeightsEvent } from '../source/training-start.js';
import { counted, percent } from '../terminal/format.js';
import type { Output } from '../terminal/output.js';
import type { Bar } from '../terminal/progress.js';
import { inOneLine } from '../terminal/terminal.js';
import { preprocessText } from '../weights/preprocessing.js';
import { choiceLines, comparisonLines } from './comparison.js';
import { PredictionLines } from './predictions.js';
import { fieldsOf } from './fields.js';
import { loadedLine, TrainingReport } from './training.js';

const TASKS: { readonly [T in Task]: string } = {
  evaluate: 'Evaluating',
  measureBefore: 'Before',
  measureAfter: 'After',
  measureSweep: 'Sweep',
  importanceOfForgotten: 'Importance, to forget',
  importanceOfBase: 'Importance, base',
};

const STAGES: { readonly [S in PrepareEvent['stage']]: string } = {
  forward: 'Reading images',
  measure: 'Measuring     ',
  factor: 'Factoring     ',
};

/** What is told again and again, or beside a bar. */
const MOVING = ['note', 'progress', 'download', 'prepare', 'start', 'step', 'epoch'] as const;

type MovingEvent = Extract<LibraryEvent, { readonly event: (typeof MOVING)[number] }>;
type OnceEvent = Exclude<LibraryEvent, MovingEvent>;

function isMoving(event: LibraryEvent): event is MovingEvent {
  return MOVING.some((name) => name === event.event);
}

const MB = 1e6;

export class Speaker {
  private readonly output: Output;
  private readonly training: TrainingReport;
  private readonly predictions: PredictionLines;
  private bar: { readonly of: string; readonly bar: Bar } | null = null;

  constructor(output: Output) {
    this.output = output;
    this.training = new TrainingReport(output);
    this.predictions = new PredictionLines(output);
  }

  hear(event: LibraryEvent): void {
    if (isMoving(event)) {
      this.move(event);
      return;
    }
    this.stop();
    this.once(event);
  }

  private move(event: MovingEvent): void {
    switch (event.event) {
      case 'note':
        this.output.note(`thimble: ${event.text}`);
        return;
      case 'progress':
        this.sayProgress(event);
        return;
      case 'download':
        this.sayDownload(event);
        return;
      case 'prepare':
        this.sayPrepare(event);
        return;
      case 'start':
      case 'step':
      case 'epoch':
        this.training.hear(event);
        return;
      default:
        event satisfies never;
    }
  }

  private once(event: OnceEvent): void {
    const { output } = this;
    switch (event.event) {
      case 'inputs':
        sayInputs(event, output);
        this.predictions.inputs(event);
        return;
      case 'classifier':
        this.predictions.classifier(event);
        return;
      case 'prediction':
        this.predictions.prediction(event);
        return;
      case 'data':
      case 'heldOutData':
        say(output, 'data', fieldsOf(event, 'lines'), event.lines);
        return;
      case 'weights':
        sayWeights(event, output);
        return;
      case 'loaded': {
        const fields = fieldsOf(event, 'classes', 'imageSize');
        say(output, 'loaded', fields, [loadedLine(event)]);
        return;
      }
      case 'budget':
        say(output, 'budget', fieldsOf(event, 'batch'), budgetLines(event));
        return;
      case 'fitted':
        say(output, 'fitted', fieldsOf(event), [fittedLine(event)]);
        return;
      case 'prepared':
        say(output, 'prepared', fieldsOf(event), choiceLines(event));
        return;
      case 'comparison':
        say(output, 'comparison', fieldsOf(event), ['', ...comparisonLines(event)]);
        return;
      case 'resumed':
        say(output, 'resumed', fieldsOf(event), [resumedLine(event)]);
        return;
      case 'writing':
      case 'written':
        return; // for whoever listens to signals
      default:
        event satisfies never;
    }
  }

  /** Takes away what moves on the screen. */
  stop(): void {
    this.bar?.bar.stop();
    this.bar = null;
    this.training.stop();
  }

  private sayProgress({ task, done, total, accuracy }: ProgressEvent): void {
    if (done === 0) this.stop(); // a task may come again
    const note = accuracy === null ? '' : `accuracy ${percent(accuracy)}`;
    this.barOf(TASKS[task], TASKS[task], total).update(done, note);
  }

  private sayDownload(event: DownloadEvent): void {
    const { model, done, total, bytesPerSecond } = event;
    const bar = this.barOf(`download ${model}`, `Downloading ${model}`, Math.ceil(total / MB));
    bar.update(Math.floor(done / MB), `MB, ${megabytes(bytesPerSecond)}/s`);
    this.output.event('download', fieldsOf(event));
    if (done === total) this.stop();
  }

  private sayPrepare({ stage, done, total, what }: PrepareEvent): void {
    this.output.event('prepare', { stage, done, total, what });
    this.barOf(stage, STAGES[stage], total).update(done, what);
    if (done === total) this.stop();
  }

  /** The bar of a stretch of work; a new one where another stretch begins. */
  private barOf(of: string, title: string, total: number): Bar {
    if (this.bar?.of === of) return this.bar.bar;
    this.stop();
    const bar = this.output.bar(title, total);
    this.bar = { of, bar };
    return bar;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** For programs, and for people. */
function say(output: Output, name: string, fields: Fields, lines: readonly string[]): void {
  output.event(name, fields);
  for (const line of lines) output.line(line);
}

function resumedLine({ run, step }: ResumedEvent): string {
  return `Resuming   ${inOneLine(run)} behind ${counted(step, 'update')}`;
}

function sayWeights({ from, description, origin, preprocess, head }: WeightsEvent, output: Output) {
  if (from !== null) {
    output.event('weights', { description, ...origin, preprocess, headIsKept: head.isKept });
    const commit = origin?.hub ? ` at ${origin.hub.commit.slice(0, 10)}` : '';
    output.line(`Weights    ${from}${commit}: ${description ?? ''}`);
  }
  output.line(`Pictures   ${preprocessText(preprocess)} (${preprocess.from})`);
  if (!head.isKept) return;
  const doubt = head.isNamed ? '' : ': nothing says which they are';
  output.line(`Head       kept with its ${String(head.classes)} classes${doubt}`);
}

function budgetLines(event: BudgetEvent): readonly string[] {
  const { budget, besidePlan, givenUp } = event;
  const given = givenUp.length === 0 ? 'nothing given up' : `given up: ${givenUp.join(', ')}`;
  return [
    `Budget     ${megabytes(budget)}, ${megabytes(besidePlan)} of it for the process beside the plan`,
    `Chosen     ${choiceText(event)}; ${given}`,
  ];
}

function fittedLine({ planned, room, givenUp }: FittedEvent): string {
  const need = `the ranks found need ${megabytes(planned)} of ${megabytes(room)}`;
  return `Fitted     ${need}: ${givenUp.join(', ')}`;
}

function sayInputs({ leftOut, lines }: InputsEvent, output: Output): void {
  if (leftOut.length > 0) output.event('leftOut', { leftOut });
  if (!output.json) for (const line of lines) output.note(`thimble: left out ${line}`);
}
