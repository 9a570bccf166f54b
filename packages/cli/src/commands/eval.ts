/** thimble eval: accuracy and loss of a run on a folder of class folders. */
import type { Command } from 'commander';
import {
  evaluate,
  EVALUATE_DEFAULTS,
  type EvaluateOptions,
  type EvaluateResult,
} from '../library/evaluate.js';
import { numberFor } from '../options/readers.js';
import {
  addAllowEmpty,
  addExecutor,
  addHub,
  addJson,
  addPreprocess,
  addWorkers,
  type CommonOptions,
} from '../options/shared.js';
import { saySkipped } from '../say/closing.js';
import { percent } from '../terminal/format.js';
import { Output } from '../terminal/output.js';
import { tableText } from '../terminal/table.js';
import { spoken } from './spoken.js';

type Options = Omit<EvaluateOptions, 'run' | 'data'> & CommonOptions;

const HELP = `
DIR has one sub-folder per class, named as in training. Where it has val/ or test/ with class folders
inside, that is used, and said. A pretrained model's classes go by their labels: by the whole label
or, where no label is that, its first synonym. Where several outputs are called as a folder is
(ImageNet has two 'crane'), any of them is right, and their probabilities add up.

Examples:
  thimble eval runs/photos-1 photos/test
  thimble eval runs/photos-1 photos/test --best --json
  thimble eval google/vit-base-patch16-224 photos    a pretrained model, by the names of its labels
`;

export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .summary('measure a run on a folder of images')
    .description('Measures accuracy and loss of a trained run on a folder of images.')
    .argument(
      '<RUN>',
      'run folder of thimble train; also weights: a file, a folder, owner/name on the hub',
    )
    .argument('<DIR>', 'folder of class folders, or a manifest (thimble train --help)')
    .option('--best', 'of a run: weights of the best epoch instead of the last', false)
    .option('--batch <n>', 'images at a time', numberFor('batch'), EVALUATE_DEFAULTS.batch)
    .option('--strict', 'stop at the first unreadable image', false);
  addJson(addExecutor(addHub(addPreprocess(addWorkers(addAllowEmpty(command))))))
    .addHelpText('after', HELP)
    .action(async (run: string, data: string, options: Options) => {
      const output = new Output(options.json);
      const result = await spoken(output, (hooks) => evaluate({ ...options, run, data }, hooks));
      saySkipped(result.skipped, output);
      sayResult(result, output);
    });
}

function sayResult({ skipped, ...result }: EvaluateResult, output: Output): void {
  const { accuracy, loss, images, perClass, ...where } = result;
  output.event('done', { accuracy, loss, images, skipped: skipped.length, perClass, ...where });
  const rows = perClass
    .filter(({ images: count }) => count > 0)
    .map((row) => [row.name, row.images, percent(row.accuracy ?? NaN)]);
  output.line(tableText(['Class', '>Images', '>Accuracy'], rows));
  output.line();
  output.line(`Accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)}, ${String(images)} images`);
}
