/** Options that several commands take, each defined once. */
import { METHODS, MODELS, OPTIMIZERS } from '@thimble/core';
import { Option, type Command } from 'commander';
import { defaultThreads, EXECUTOR_NAMES } from './executors.js';
import { fraction, nonNegativeNumber, positiveNumber, wholeNumber } from './options.js';

/** What every command takes. */
export interface CommonOptions {
  readonly json: boolean;
}

/** Where the work happens. */
export interface ExecutorOptions {
  readonly executor: string;
  readonly threads: number;
}

export const DEFAULT_MODEL = 'vit-tiny-16';
const DEFAULT_BATCH = 16;

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
    .option('--threads <n>', 'worker threads', wholeNumber(1), defaultThreads());
}

/** The options of StepOptions except `model`. */
export function addStep(command: Command): Command {
  return command
    .option(
      '--image-size <n>',
      "side of the input in pixels (default: the model's)",
      wholeNumber(1),
    )
    .option('--method <text>', `what trains: ${methodUsages()}`, 'full')
    .option('--batch <n>', 'images of one update', wholeNumber(1), DEFAULT_BATCH)
    .option(
      '--micro-batches <n>',
      'passes into which a batch is cut: less memory',
      wholeNumber(1),
      1,
    )
    .option('--optimizer <name>', Object.keys(OPTIMIZERS).join(', '), 'sgd')
    .option('--momentum <x>', 'of sgd (default: 0.9)', fraction)
    .option('--weight-decay <x>', "default: the optimiser's", nonNegativeNumber)
    .option('--clip <norm>', 'bound on the global gradient norm (default: none)', positiveNumber)
    .option('--smoothing <x>', 'label smoothing', fraction, 0);
}

export function modelHelp(): string {
  return Object.keys(MODELS).join(', ');
}

/** One line for each method, for the end of a help text. */
export function methodHelp(): string {
  const lines = Object.values(METHODS).map(
    ({ usage, summary }) => `  ${usage.padEnd(12)} ${summary}`,
  );
  return ['Methods:', ...lines].join('\n');
}

function methodUsages(): string {
  return Object.values(METHODS)
    .map(({ usage }) => usage)
    .join(', ');
}
