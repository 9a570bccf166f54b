/** thimble predict: the most probable classes of single images. */
import { predictLogits, softmax } from '@thimble/core';
import type { Command } from 'commander';
import { resolve } from 'node:path';
import { chooseExecutor } from '../executors.js';
import { EXIT, ExitSignal } from '../failure.js';
import { percent } from '../format.js';
import { Classifier } from '../inference.js';
import { wholeNumber } from '../options.js';
import { Output } from '../output.js';
import { saySkipped, skippedLines } from '../report.js';
import {
  addExecutor,
  addHub,
  addJson,
  addPreprocess,
  type CommonOptions,
  type ExecutorOptions,
  type HubOptions,
  type PreprocessOptions,
} from '../shared-options.js';

interface PredictOptions extends CommonOptions, ExecutorOptions, HubOptions, PreprocessOptions {
  readonly best: boolean;
  readonly top: number;
}

/** Images of one pass at most; a single image is not made to pay for more. */
const MAX_BATCH = 8;

const HELP = `
Examples:
  thimble predict runs/photos-1 new.jpg
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
    .argument('<IMAGE...>', 'JPEG, PNG or WebP files')
    .option('--top <k>', 'classes to print', wholeNumber(1), 3)
    .option('--best', 'of a run: weights of the best epoch instead of the last', false);
  addJson(addExecutor(addHub(addPreprocess(command))))
    .addHelpText('after', HELP)
    .action(async (run: string, images: readonly string[], options: PredictOptions) => {
      await predictCommand(run, images, options);
    });
}

async function predictCommand(
  run: string,
  images: readonly string[],
  options: PredictOptions,
): Promise<void> {
  const output = new Output(options.json);
  const kind = await chooseExecutor(options.executor, (text) => {
    output.note(text);
  });
  const batch = Math.min(images.length, MAX_BATCH);
  const classifier = await Classifier.open(kind, { from: run, batch, ...options }, output);
  try {
    const failed = await predictAll(classifier, images, options.top, output);
    output.event('done', {
      images: images.length - failed,
      failed,
      executor: classifier.executor.name,
      threads: classifier.executor.threads,
    });
    if (failed > 0) throw new ExitSignal(EXIT.failed);
  } finally {
    await classifier.close();
  }
}

/** Returns how many images could not be read. */
async function predictAll(
  classifier: Classifier,
  images: readonly string[],
  top: number,
  output: Output,
): Promise<number> {
  const files = images.map((name) => ({ path: resolve(name), name, label: 0 }));
  const loader = classifier.loader({ kind: 'folder', files }, false, 0);
  const { classes } = classifier;
  const width = Math.max(...images.map((name) => name.length));
  try {
    for await (const { images: pixels, indices, real, labels, taken } of loader.epoch(0)) {
      if (real === 0) continue;
      const logits = await predictLogits(classifier.executor, pixels, taken);
      const count = logits.length / labels.length;
      for (let row = 0; row < real; row++) {
        const best = topClasses(logits.subarray(row * count, (row + 1) * count), classes, top);
        const image = images[indices[row]];
        output.event('prediction', { image, classes: best });
        const text = best.map(({ name, probability }) => `${name} ${percent(probability)}`);
        output.line(`${image.padEnd(width)}  ${text.join('  ')}`);
      }
    }
    const skipped = loader.skipped.map((skip) => ({ ...skip, name: images[skip.index] }));
    if (output.json) saySkipped(skipped, output);
    else if (skipped.length > 0) output.note(`thimble: ${skippedLines(skipped).join('\n')}`);
    return skipped.length;
  } finally {
    await loader.close();
  }
}

interface ClassProbability {
  readonly name: string;
  readonly probability: number;
}

/** The `top` most probable classes, in falling order. */
export function topClasses(
  scores: Parameters<typeof softmax>[0],
  classes: readonly string[],
  top: number,
): readonly ClassProbability[] {
  return Array.from(softmax(scores), (probability, index) => ({
    name: classes[index],
    probability,
  }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, top);
}
