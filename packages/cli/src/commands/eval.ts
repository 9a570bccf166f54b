/** thimble eval: accuracy and loss of a run on a folder of class folders. */
import { checkedLogits, DataError, predictLogits } from '@thimble/core';
import type { Command } from 'commander';
import { sayHeldOut } from '../data/report.js';
import { readHeldOut, type FolderChoice } from '../data/set.js';
import type { ImageFile } from '../data/folder.js';
import type { Loader } from '../data/loader.js';
import { chooseExecutor, workersWithinCores } from '../host/executors.js';
import { percent } from '../terminal/format.js';
import { Classifier } from '../inference/inference.js';
import { MOST, wholeNumber } from '../options/readers.js';
import { Output } from '../terminal/output.js';
import { saySkipped } from '../training/closing.js';
import {
  addAllowEmpty,
  addExecutor,
  addHub,
  addJson,
  addPreprocess,
  addWorkers,
  type CommonOptions,
  type ExecutorOptions,
  type HubOptions,
  type PreprocessOptions,
} from '../options/shared.js';
import { tableText } from '../terminal/table.js';
import { Tally } from '../inference/tally.js';
import { evaluatedClasses, matchedClasses } from '../source/meaning.js';

interface EvalOptions
  extends CommonOptions, ExecutorOptions, HubOptions, PreprocessOptions, FolderChoice {
  readonly best: boolean;
  readonly batch: number;
  readonly strict: boolean;
  readonly workers: number;
}

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
    .option('--batch <n>', 'images at a time', wholeNumber(1, MOST.batch), 16)
    .option('--strict', 'stop at the first unreadable image', false);
  addJson(addExecutor(addHub(addPreprocess(addWorkers(addAllowEmpty(command))))))
    .addHelpText('after', HELP)
    .action(async (run: string, folder: string, options: EvalOptions) => {
      await evalCommand(run, folder, options);
    });
}

async function evalCommand(run: string, folder: string, options: EvalOptions): Promise<void> {
  const output = new Output(options.json);
  const note = (text: string) => {
    output.note(text);
  };
  const workers = workersWithinCores(options.workers, note);
  const kind = await chooseExecutor(options.executor, note);
  const classifier = await Classifier.open(kind, { from: run, ...options }, output);
  try {
    const labels = classifier.classes;
    const held = readHeldOut(folder, (names) => matchedClasses(names, labels), options);
    sayHeldOut(held, output);
    const { files } = held;
    const loader = classifier.loader({ kind: 'folder', files }, options.strict, workers);
    try {
      const tally = new Tally(evaluatedClasses(held.folders, labels));
      await evaluateAll(classifier, loader, files, tally, output);
      saySkipped(loader.skipped, output);
      if (tally.total === 0) throw nothingReadable(held.from, loader.skipped.length);
      sayResult(tally, classifier, loader.skipped.length, output);
    } finally {
      await loader.close();
    }
  } finally {
    await classifier.close();
  }
}

async function evaluateAll(
  classifier: Classifier,
  loader: Loader,
  files: readonly ImageFile[],
  tally: Tally,
  output: Output,
): Promise<void> {
  const bar = output.bar('Evaluating', loader.count);
  try {
    for await (const { images, labels, indices, real, taken } of loader.epoch(0)) {
      const logits = await predictLogits(classifier.executor, images, taken);
      const classes = logits.length / labels.length;
      for (let row = 0; row < real; row++) {
        const scores = logits.subarray(row * classes, (row + 1) * classes);
        tally.add(checkedLogits(scores, files[indices[row]].path), labels[row]);
      }
      bar.update(tally.total, `accuracy ${percent(tally.accuracy)}`);
    }
  } finally {
    bar.stop();
  }
}

function sayResult(tally: Tally, classifier: Classifier, skipped: number, output: Output): void {
  const { executor } = classifier;
  const { accuracy, loss, total: images } = tally;
  const perClass = tally.perClass.map(({ name, images: count, correct }) => ({
    name,
    images: count,
    accuracy: count === 0 ? null : correct / count,
  }));
  const where = { executor: executor.name, threads: executor.threads };
  output.event('done', { accuracy, loss, images, skipped, perClass, ...where });
  const rows = perClass
    .filter(({ images: count }) => count > 0)
    .map((row) => [row.name, row.images, percent(row.accuracy ?? NaN)]);
  output.line(tableText(['Class', '>Images', '>Accuracy'], rows));
  output.line();
  output.line(`Accuracy ${percent(accuracy)}, loss ${loss.toFixed(4)}, ${String(images)} images`);
}

function nothingReadable(folder: string, skipped: number): DataError {
  return new DataError({
    where: folder,
    expected: 'at least one readable image',
    got: `${String(skipped)} unreadable ones`,
    todo: 'Check that the files are images',
  });
}
