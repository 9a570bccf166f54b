/** thimble forget: takes a class or single images out of what a run knows, without training again. */
import { ConfigError } from '@thimble/core';
import { Option, type Command } from 'commander';
import { forget, FORGET_DEFAULTS, undoForgetting, type ForgetOptions } from '../library/forget.js';
import { numberFor } from '../options/readers.js';
import {
  addAllowEmpty,
  addExecutor,
  addJson,
  addWorkers,
  type CommonOptions,
} from '../options/shared.js';
import { sayForgotten } from '../say/forget.js';
import { Output } from '../terminal/output.js';
import { spoken } from './spoken.js';

interface Options extends CommonOptions, Omit<ForgetOptions, 'run'> {
  readonly undo: boolean;
}

const STAYS = 'stopping, the run stays as it is';

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
        .default(FORGET_DEFAULTS.importance),
    )
    .option('--batch <n>', 'images at a time', numberFor('batch'), FORGET_DEFAULTS.batch)
    .option('--no-shuffle', 'take images class by class, which matters with --importance batch')
    .option('--label-free', 'by the norm of the logits instead of the loss', false)
    .option(
      '--alpha <x>',
      'dampen what matters x times more (default: automatic)',
      numberFor('alpha'),
    )
    .option(
      '--lambda <x>',
      'scale of what is left of a weight',
      numberFor('lambda'),
      FORGET_DEFAULTS.lambda,
    )
    .option('--sweep', 'search the strongest alpha that --budget allows', false)
    .option(
      '--budget <x>',
      'how far retained accuracy may fall (default: 0.01)',
      numberFor('budget'),
    )
    .option('--dry-run', 'write nothing', false)
    .option('--undo', 'bring back the weights that training left', false);
  addJson(addExecutor(addWorkers(addAllowEmpty(command))))
    .addHelpText('after', HELP)
    .action(async (run: string, options: Options) => {
      await forgetCommand(run, options);
    });
}

async function forgetCommand(run: string, { undo, ...options }: Options): Promise<void> {
  const output = new Output(options.json);
  if (undo) {
    checkUndo(options);
    const undone = await spoken(
      output,
      (hooks) => undoForgetting({ ...options, run }, hooks),
      STAYS,
    );
    output.event('done', { ...undone });
    output.line(`${run} has the weights again that training left`);
    return;
  }
  const result = await spoken(output, (hooks) => forget({ ...options, run }, hooks), STAYS);
  sayForgotten(result, output);
}

/** Throws ConfigError for options that do not go with --undo. */
function checkUndo({ class: name, files, dryRun, budget, sweep }: Omit<Options, 'undo'>): void {
  if (name !== undefined || files !== undefined) {
    throw misused('--class, --files', 'what to forget, or --undo', 'both', 'Say one of them');
  }
  if (dryRun === true) throw misused('--undo', 'no --dry-run', 'both', 'Leave one out');
  if (budget !== undefined && sweep !== true) {
    throw misused('--budget', '--sweep', 'none', 'Add --sweep, or leave --budget out');
  }
}

function misused(where: string, expected: string, got: string, todo: string): ConfigError {
  return new ConfigError({ where, expected, got, todo });
}
