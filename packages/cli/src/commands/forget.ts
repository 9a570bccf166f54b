/** thimble forget: takes a class or single images out of what a run knows, without training again. */
import { ConfigError } from '@thimble/core';
import { Option, type Command } from 'commander';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sayDataSet } from '../data/report.js';
import { baseOf, forgetImages, passOf, shareOf, type ForgetRequest } from '../forget/forgetting.js';
import { forgettingImages, readRunImages, type ForgetTarget } from '../forget/images.js';
import { keepForgotten, undoForgotten } from '../forget/keep.js';
import type { Means } from '../forget/model.js';
import { sayForgotten } from '../forget/say.js';
import { chooseExecutor, workersWithinCores } from '../host/executors.js';
import { onInterrupt } from '../host/interrupt.js';
import { fraction, MOST, positiveNumber, wholeNumber } from '../options/readers.js';
import {
  addAllowEmpty,
  addExecutor,
  addJson,
  addWorkers,
  type CommonOptions,
  type ExecutorOptions,
} from '../options/shared.js';
import type { ForgottenRecord } from '../run/forgotten.js';
import { openRun, type OpenRun } from '../run/open.js';
import { CHECKPOINTS } from '../run/saves.js';
import { preprocessFor } from '../source/start.js';
import { Output } from '../terminal/output.js';
import { TrainingFolder } from '../training/folder.js';

interface ForgetOptions extends CommonOptions, ExecutorOptions {
  readonly class?: string;
  readonly files?: string;
  readonly data?: string;
  readonly allowEmpty: boolean;
  readonly best: boolean;
  readonly importance: ForgetRequest['importance'];
  readonly batch: number;
  readonly shuffle: boolean;
  readonly labelFree: boolean;
  readonly alpha?: number;
  readonly lambda: number;
  readonly sweep: boolean;
  readonly budget?: number;
  readonly dryRun: boolean;
  readonly undo: boolean;
  readonly workers: number;
}

/** How far the retained accuracy may fall in a sweep where nothing is said. */
const DEFAULT_BUDGET = 0.01;

const HELP = `
Weights that matter more for the images to forget than for the others are made smaller (Selective
Synaptic Dampening): two passes over the images of training, no training. A class stays an output of
the model. Without --alpha the share of weights follows from the share of images to forget.

Retained and forgotten accuracy are of validation images; attacked accuracy is the share of forgotten
images of training that still look trained on (membership inference by the entropy of the answer).

Examples:
  thimble forget runs/photos-1 --class rose --dry-run     what would be dampened, and what for
  thimble forget runs/photos-1 --class rose
  thimble forget runs/photos-1 --files out.txt --sweep --budget 0.02
  thimble forget runs/photos-1 --undo
`;

export function addForget(program: Command): void {
  const command = program
    .command('forget')
    .summary('make a run forget a class or single images')
    .description('Dampens the weights of a run that matter most for what it is to forget.')
    .argument('<RUN>', 'run folder of thimble train')
    .addOption(new Option('--class <name>', 'forget a class').conflicts('files'))
    .option('--files <list>', 'forget the images of training that a file lists, one path a line')
    .option('--data <dir>', 'folder of class folders (default: the one of the training)')
    .option('--best', 'start from the weights of the best epoch instead of the last', false)
    .addOption(
      new Option('--importance <of>', 'mean of squared gradients of single images or of batches')
        .choices(['sample', 'batch'])
        .default('sample'),
    )
    .option('--batch <n>', 'images at a time', wholeNumber(1, MOST.batch), 16)
    .option('--no-shuffle', 'take images class by class, which matters with --importance batch')
    .option('--label-free', 'by the norm of the logits instead of the loss', false)
    .option('--alpha <x>', 'dampen what matters x times more (default: automatic)', positiveNumber)
    .option('--lambda <x>', 'scale of what is left of a weight', positiveNumber, 1)
    .option('--sweep', 'search the strongest alpha that --budget allows', false)
    .option('--budget <x>', 'how far retained accuracy may fall (default: 0.01)', fraction)
    .option('--dry-run', 'write nothing', false)
    .option('--undo', 'bring back the weights that training left', false);
  addJson(addExecutor(addWorkers(addAllowEmpty(command))))
    .addHelpText('after', HELP)
    .action(async (run: string, options: ForgetOptions) => {
      await forgetCommand(run, options);
    });
}

async function forgetCommand(run: string, options: ForgetOptions): Promise<void> {
  const output = new Output(options.json);
  const wanted = wantedOf(options);
  const note = (text: string) => {
    output.note(text);
  };
  const interrupt = onInterrupt('stopping, the run stays as it is', note);
  try {
    openRun(run, options.best).checkpoint.close(); // refuses what is no run before anything is locked
    const folder = options.dryRun ? null : TrainingFolder.retake(run);
    try {
      if (wanted === null) await undo(run, folder, options, output);
      else await forget(run, folder, wanted, options, output, interrupt.signal);
    } finally {
      folder?.close();
    }
  } finally {
    interrupt.dispose();
  }
}

/** null: nothing, but to undo. Throws ConfigError for options that do not go together. */
function wantedOf({
  class: name,
  files: list,
  undo: isUndo,
  ...rest
}: ForgetOptions): ForgetTarget | null {
  const wanted: ForgetTarget | null =
    name !== undefined
      ? { kind: 'class', name }
      : list !== undefined
        ? { kind: 'files', list }
        : null;
  if (isUndo === (wanted !== null)) {
    const got = isUndo ? 'both' : 'neither';
    throw misused('--class, --files', 'what to forget, or --undo', got, 'Say one of them');
  }
  if (isUndo && rest.dryRun) throw misused('--undo', 'no --dry-run', 'both', 'Leave one out');
  if (rest.budget !== undefined && !rest.sweep) {
    throw misused('--budget', '--sweep', 'none', 'Add --sweep, or leave --budget out');
  }
  return wanted;
}

async function undo(
  run: string,
  folder: TrainingFolder | null,
  { best }: ForgetOptions,
  output: Output,
): Promise<void> {
  const { record, checkpoint } = openRun(run, best);
  checkpoint.close();
  if (folder) await undoForgotten(folder, record);
  const forgotten = record.forgotten ?? [];
  output.event('done', { undone: forgotten, run });
  output.line(`${run} has the weights again that training left`);
}

async function forget(
  run: string,
  folder: TrainingFolder | null,
  wanted: ForgetTarget,
  options: ForgetOptions,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const note = (text: string) => {
    output.note(text);
  };
  const opened = openRun(run, options.best);
  try {
    const { record } = opened;
    const data = await readRunImages(record, options.data, options.allowEmpty);
    sayDataSet(data, output);
    sayOtherImages(record.data, [data.train.length, data.validation.length], note);
    const means: Means = {
      kind: await chooseExecutor(options.executor, note),
      threads: options.threads,
      workers: workersWithinCores(options.workers, note),
      batch: options.batch,
      preprocess: preprocessFor(record.model.config, record.preprocess),
      ...{ output, signal },
    };
    const request = requestOf(options);
    const images = forgettingImages(data, wanted);
    const forgetting = await forgetImages(opened, images, request, means);
    const forgotten: ForgottenRecord = {
      class: wanted.kind === 'class' ? record.classes[images.forgotten[0].label] : null,
      images: forgetting.images.forgotten.length,
      weights: options.best ? 'best' : 'last',
      alpha: forgetting.alpha,
      lambda: request.lambda,
      threshold: options.sweep ? 'swept' : request.alpha === null ? 'automatic' : 'given',
      share: shareOf(forgetting.shares),
      importance: request.importance,
      pass: passOf(request, options.batch),
      labelFree: request.labelFree,
      base: baseOf(request),
    };
    signal.throwIfAborted();
    const { changes, values: after } = forgetting;
    const undoBytes =
      folder && changes.size > 0
        ? await keepForgotten(folder, record, { record: forgotten, changes, after })
        : null;
    sayForgotten({ run, record: forgotten, forgetting, undoBytes }, isFactored(opened), output);
    if (undoBytes !== null) sayWhatStill(run, note);
  } finally {
    opened.checkpoint.close();
  }
}

function requestOf(options: ForgetOptions): ForgetRequest {
  const { importance, labelFree, shuffle: shuffled, alpha = null, lambda } = options;
  const budget = options.sweep ? (options.budget ?? DEFAULT_BUDGET) : null;
  return { importance, labelFree, shuffled, alpha, lambda, budget };
}

function isFactored({ model }: OpenRun): boolean {
  return (model.forms ?? []).length > 0;
}

function sayOtherImages(
  { trainImages, validationImages }: OpenRun['record']['data'],
  [train, validation]: readonly [number, number],
  note: (text: string) => void,
): void {
  if (train === trainImages && validation === validationImages) return;
  note(
    `thimble: ${String(train)} and ${String(validation)} images, where training had ` +
      `${String(trainImages)} and ${String(validationImages)}: some may have changed sides.`,
  );
}

/** Files beside the run that were made from its weights before. */
function sayWhatStill(run: string, note: (text: string) => void): void {
  const still = ['merged.safetensors', 'export', CHECKPOINTS].filter((name) =>
    existsSync(join(run, name)),
  );
  if (still.length === 0) return;
  note(
    `thimble: ${still.join(' and ')} in ${run} still know what was forgotten; make them again, or remove them.`,
  );
}

function misused(where: string, expected: string, got: string, todo: string): ConfigError {
  return new ConfigError({ where, expected, got, todo });
}
