/** Options that several commands take, each defined once. */
import { METHODS, MODELS, OPTIMIZERS, SAVED_FORMS } from '@thimble/core';
import { Option, type Command } from 'commander';
import { defaultThreads, EXECUTOR_NAMES } from '../host/executors.js';
import { STEP_DEFAULTS } from '../library/step.js';
import { CACHE_BYTES } from '../library/work.js';
import { PREPROCESS_HELP } from '../weights/preprocessing.js';
import { byteCount, momentumBits, numberFor, timeSpan } from './readers.js';

/** What every command takes. */
export interface CommonOptions {
  readonly json: boolean;
}

export function addJson(command: Command): Command {
  return command.addOption(
    new Option('--json', 'one JSON object per line on stdout; the last is the result').default(
      false,
      'off',
    ),
  );
}

export function addExecutor(command: Command): Command {
  return command
    .option('--executor <name>', EXECUTOR_NAMES.join(', '), 'auto')
    .option('--threads <n>', 'worker threads', numberFor('threads'), defaultThreads());
}

export function addHub(command: Command): Command {
  return command
    .option('--revision <name>', 'branch, tag or commit of a model on the hub (default: main)')
    .option('--offline', 'ask nothing of the network: what was downloaded before', false);
}

export function addWorkers(command: Command): Command {
  return command.option(
    '--workers <n>',
    'threads that prepare images, 40 MB each, one for each core at most (0: the main one)',
    numberFor('workers'),
    0,
  );
}

export function addCache(command: Command): Command {
  return command
    .option(
      '--cache <size>',
      'decoded, resized images on the disk for later epochs and runs, at most so many bytes',
      byteCount,
      CACHE_BYTES,
    )
    .option('--no-cache', 'keep no decoded images');
}

export function addSaveEvery(command: Command): Command {
  return command.option(
    '--save-every <n>',
    'updates after which a run is saved within an epoch too (default: about every five minutes)',
    numberFor('saveEvery'),
  );
}

export function addKeepEvery(command: Command): Command {
  return command.option(
    '--keep-every <n>',
    'epochs after which a whole copy of the run is kept in its checkpoints/, and the best one beside',
    numberFor('keepEvery'),
  );
}

export function addTime(command: Command): Command {
  return command.option(
    '--time <time>',
    'stop after so much training, as in 30s, 10m or 2h; thimble resume goes on',
    timeSpan,
  );
}

export function addAllowEmpty(command: Command): Command {
  return command.option(
    '--allow-empty',
    'leave out class folders of which nothing can be read, instead of refusing',
    false,
  );
}

export function addPreprocess(command: Command): Command {
  return command.option('--preprocess <how>', PREPROCESS_HELP);
}

/** The options of StepOptions except `model`, and the image size. */
export function addStep(command: Command): Command {
  return command
    .option(
      '--image-size <n>',
      "side of the input in pixels (default: the model's)",
      numberFor('imageSize'),
    )
    .option(
      '--method <text>',
      'what trains and in what form, as listed below; several joined by + (default: full)',
    )
    .option('--layers <which>', 'linears that the method acts on: mlp or all (default: its own)')
    .option(
      '--truncation <how>',
      'of weights: data (in the metric of the loss on your images) or plain',
    )
    .option(
      '--saved <form>',
      `how activations are saved for the backward pass: ${Object.keys(SAVED_FORMS).join(', ')} (default: smallest for wasi, else exact)`,
    )
    .option('--batch <n>', 'images of one update', numberFor('batch'), STEP_DEFAULTS.batch)
    .option(
      '--micro-batches <n>',
      'parts of a batch that run one after the other: less memory (default: 1)',
      numberFor('microBatches'),
    )
    .option(
      '--slices <n>',
      'parts of a micro-batch that go through each block one after the other: less memory ' +
        '(default: several for smallest, else 1)',
      numberFor('slices'),
    )
    .option(
      '--batch-norm <how>',
      'statistics that batch norms train with: batch or frozen ' +
        '(default: frozen below 16 images that run together)',
    )
    .option('--optimizer <name>', Object.keys(OPTIMIZERS).join(', '), STEP_DEFAULTS.optimizer)
    .option('--momentum <x>', 'of sgd (default: 0.9)', numberFor('momentum'))
    .option(
      '--momentum-bits <n>',
      'of each element that sgd keeps: 8 takes about a quarter of the memory of 32 (default: 32)',
      momentumBits,
    )
    .option('--weight-decay <x>', "default: the optimiser's", numberFor('weightDecay'))
    .option('--clip <norm>', 'bound on the global gradient norm (default: none)', numberFor('clip'))
    .option('--smoothing <x>', 'label smoothing', numberFor('smoothing'), STEP_DEFAULTS.smoothing);
}

export function modelHelp(): string {
  return Object.keys(MODELS).join(', ');
}

/** What each method and form of saved tensors does, for the end of a help text. */
export function methodHelp(): string {
  const lines = Object.values(METHODS).flatMap(({ usage, summary }) =>
    usage.length < USAGE_WIDTH
      ? [`  ${usage.padEnd(USAGE_WIDTH)} ${summary}`]
      : [`  ${usage}`, `  ${''.padEnd(USAGE_WIDTH)} ${summary}`],
  );
  const forms = Object.values(SAVED_FORMS).map(
    ({ form, summary }) => `  ${form.padEnd(USAGE_WIDTH)} ${summary}`,
  );
  return [
    'Methods (--layers and --truncation fill in what the text leaves out):',
    ...lines,
    '',
    'Saved tensors (--saved):',
    ...forms,
  ].join('\n');
}

const USAGE_WIDTH = 12;
