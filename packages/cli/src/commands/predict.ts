/** thimble predict: the most probable classes of single images. */
import type { Command } from 'commander';
import { predict, PREDICT_DEFAULTS, type PredictOptions } from '../library/predict.js';
import { numberFor } from '../options/readers.js';
import {
  addExecutor,
  addHub,
  addJson,
  addPreprocess,
  type CommonOptions,
} from '../options/shared.js';
import { EXIT, ExitSignal } from '../process/failure.js';
import { sayPredicted } from '../say/predictions.js';
import { Output } from '../terminal/output.js';
import { spoken } from './spoken.js';

type Options = Omit<PredictOptions, 'run' | 'images'> & CommonOptions;

const HELP = `
Of a folder, the images in it and in its sub-folders are classified. A pattern that the shell leaves as it
is (Windows) is expanded: * is any part of a name, ? one character, ** any folders.

Examples:
  thimble predict runs/photos-1 new.jpg
  thimble predict runs/photos-1 inbox
  thimble predict runs/photos-1 inbox/*.jpg --top 1 --json
  thimble predict google/vit-base-patch16-224 new.jpg      a pretrained model, as it is
`;

export function addPredict(program: Command): void {
  const command = program
    .command('predict')
    .summary('classify images with a run')
    .description('Prints the most probable classes of images. Exit code 1 when one cannot be read.')
    .argument(
      '<RUN>',
      'run folder of thimble train; also weights: a file, a folder, owner/name on the hub',
    )
    .argument('<IMAGE...>', 'JPEG, PNG or WebP files, or folders of them')
    .option('--top <k>', 'classes to print', numberFor('top'), PREDICT_DEFAULTS.top)
    .option('--best', 'of a run: weights of the best epoch instead of the last', false);
  addJson(addExecutor(addHub(addPreprocess(command))))
    .addHelpText('after', HELP)
    .action(async (run: string, images: readonly string[], options: Options) => {
      const output = new Output(options.json);
      const asked = { ...options, run, images, collect: false };
      const result = await spoken(output, (hooks) => predict(asked, hooks));
      sayPredicted(result, output);
      if (result.failed > 0) throw new ExitSignal(EXIT.failed);
    });
}
