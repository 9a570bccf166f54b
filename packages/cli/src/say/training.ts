/** What is said while training: JSON events, or a bar for each epoch with a line at its end. */
import { megabytes, type TrainEvent } from '@thimble/core';
import { counted, duration, metric, milliseconds, percent } from '../terminal/format.js';
import type { LoadedEvent, StartEvent } from '../training/events.js';
import type { Output } from '../terminal/output.js';
import type { Bar } from '../terminal/progress.js';
import { fieldsOf } from './fields.js';

export class TrainingReport {
  private readonly output: Output;
  private epochs = 1;
  private stepsPerEpoch = 1;
  private bar: { readonly epoch: number; readonly bar: Bar } | null = null;
  private loss = NaN;

  constructor(output: Output) {
    this.output = output;
  }

  hear(event: StartEvent | TrainEvent): void {
    if (event.event === 'start') this.start(event);
    else this.trained(event);
  }

  private start(said: StartEvent): void {
    const { output } = this;
    this.epochs = said.epochs;
    this.stepsPerEpoch = said.stepsPerEpoch;
    this.loss = NaN;
    output.event('start', fieldsOf(said, 'epochs', 'stepsPerEpoch'));
    for (const line of startLines(said)) output.line(line);
  }

  private trained(event: TrainEvent): void {
    this.output.event(event.event, fieldsOf(event));
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

function startLines(fields: StartEvent): readonly string[] {
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

/** `Loaded 150 tensors of vit.safetensors; head.weight and head.bias start at zero for 5 classes`. */
export function loadedLine(event: LoadedEvent): string {
  const { from, loaded, classes, imageSize } = event;
  const replaced =
    event.replaced.length === 0
      ? ''
      : `; ${event.replaced.join(' and ')} start at zero for ${String(classes)} classes`;
  const resized =
    event.resized.length === 0
      ? ''
      : `; ${event.resized.join(' and ')} resized to ${String(imageSize)} px`;
  const unused = [...event.unused, ...event.ignored];
  const left = unused.length === 0 ? '' : `; unused: ${abridged(unused)}`;
  return `Loaded ${String(loaded)} tensors of ${from ?? ''}${replaced}${resized}${left}`;
}

/** The first few names. */
function abridged(names: readonly string[]): string {
  const more = names.length - SHOWN_NAMES;
  const shown = names.slice(0, SHOWN_NAMES).join(', ');
  return more > 0 ? `${shown} and ${counted(more, 'more tensor')}` : shown;
}

const SHOWN_NAMES = 5;
