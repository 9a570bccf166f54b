/** What is said while training: JSON events, or a bar for each epoch with a line at its end. */
import { megabytes, type TrainEvent } from '@thimble/core';
import { counted, duration, metric, milliseconds, percent } from '../terminal/format.js';
import type { Output } from '../terminal/output.js';
import type { Bar } from '../terminal/progress.js';
import type { RunSettings } from '../run/record.js';

/** Where a run happens. */
export interface PlaceFields {
  readonly plannedBytes: number;
  readonly executor: string;
  readonly executorDetail: string;
  readonly threads: number;
  readonly run: string;
}

/** The fields of the JSON line `start`: settings of the run, by name where a record has more of them. */
export interface StartFields
  extends
    PlaceFields,
    Pick<RunSettings, 'method' | 'classes' | 'preprocess' | 'batch' | 'learningRate'>,
    Pick<RunSettings['data'], 'trainImages' | 'validationImages'> {
  readonly model: string;
  readonly parameters: number;
  readonly trainable: number;
  readonly steps: number;
  readonly optimizer: string;
}

export class TrainingReport {
  private readonly output: Output;
  private readonly epochs: number;
  private readonly stepsPerEpoch: number;
  private bar: { readonly epoch: number; readonly bar: Bar } | null = null;
  private loss = NaN;

  constructor(output: Output, epochs: number, stepsPerEpoch: number) {
    this.output = output;
    this.epochs = epochs;
    this.stepsPerEpoch = stepsPerEpoch;
  }

  start(fields: StartFields): void {
    const { output } = this;
    output.event('start', { ...fields });
    for (const line of startLines(fields)) output.line(line);
  }

  event(event: TrainEvent): void {
    const { event: name, ...fields } = event;
    this.output.event(name, fields);
    if (event.event === 'step') {
      // The mean over about twenty steps: a single batch's loss jumps too much to be read.
      this.loss = Number.isNaN(this.loss) ? event.loss : this.loss + (event.loss - this.loss) / 20;
      const note = `loss ${this.loss.toFixed(3)}  ${milliseconds(event.ms)}/step`;
      this.barOf(event.epoch).update(this.withinEpoch(event.step, event.epoch), note);
      return;
    }
    this.stop();
    const { validation } = event;
    this.output.line(
      [
        this.title(event.epoch),
        `loss ${event.loss.toFixed(4)}`,
        `validation accuracy ${percent(validation?.accuracy ?? NaN)}`,
        `loss ${(validation?.loss ?? NaN).toFixed(4)}`,
        duration(event.seconds),
      ].join('  '),
    );
  }

  /** Takes the bar away. */
  stop(): void {
    this.bar?.bar.stop();
    this.bar = null;
  }

  private barOf(epoch: number): Bar {
    if (this.bar?.epoch === epoch) return this.bar.bar;
    this.stop();
    const bar = this.output.bar(this.title(epoch), Math.ceil(this.stepsPerEpoch));
    this.bar = { epoch, bar };
    return bar;
  }

  private withinEpoch(step: number, epoch: number): number {
    return step - Math.floor((epoch - 1) * this.stepsPerEpoch);
  }

  private title(epoch: number): string {
    const width = String(this.epochs).length;
    return `Epoch ${String(epoch).padStart(width)}/${String(this.epochs)}`;
  }
}

function startLines(fields: StartFields): readonly string[] {
  const { parameters, trainable, classes, threads } = fields;
  const share = trainable === parameters ? 'all' : metric(trainable);
  return [
    `Model      ${fields.model}, ${metric(parameters)} parameters, ${share} of them training ` +
      `(${fields.method})`,
    `Images     ${String(fields.trainImages)} for training, ` +
      `${String(fields.validationImages)} for validation, ${String(classes.length)} classes`,
    `Updates    ${String(fields.steps)} of ${counted(fields.batch, 'image')}, ` +
      `${fields.optimizer}, learning rate ${String(fields.learningRate)}`,
    `Memory     ${megabytes(fields.plannedBytes)} planned for model, optimiser and training step`,
    `Executor   ${fields.executor} (${fields.executorDetail}), ${counted(threads, 'thread')}`,
    `Run        ${fields.run}`,
    '',
  ];
}
