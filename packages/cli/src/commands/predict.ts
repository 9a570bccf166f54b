/** thimble predict: the most probable classes of single images. */
import { checkedLogits, predictLogits, softmax, type ThimbleError } from '@thimble/core';
import type { Command } from 'commander';
import { resolve } from 'node:path';
import { inputsOf } from '../data/inputs.js';
import { LeftOut } from '../data/left-out.js';
import { chooseExecutor } from '../host/executors.js';
import { EXIT, ExitSignal } from '../host/failure.js';
import { percent } from '../terminal/format.js';
import { Classifier } from '../inference/inference.js';
import { wholeNumber } from '../options/readers.js';
import { Output } from '../terminal/output.js';
import { saySkipped, skippedLines, type UnreadImage } from '../training/closing.js';
import {
  addExecutor,
  addHub,
  addJson,
  addPreprocess,
  type CommonOptions,
  type ExecutorOptions,
  type HubOptions,
  type PreprocessOptions,
} from '../options/shared.js';
import { inOneLine } from '../terminal/terminal.js';

interface PredictOptions extends CommonOptions, ExecutorOptions, HubOptions, PreprocessOptions {
  readonly best: boolean;
  readonly top: number;
}

/** Images at a time at most; a single image is not made to pay for more. */
const MAX_BATCH = 8;

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
  const leftOut = new LeftOut();
  const { paths, failures } = inputsOf(images, leftOut);
  sayLeftOut(leftOut, output);
  const batch = Math.max(1, Math.min(paths.length, MAX_BATCH));
  const classifier = await Classifier.open(kind, { from: run, batch, ...options }, output);
  try {
    const skipped = await predictAll(classifier, paths, options.top, output);
    sayUnread([...skipped, ...failures.map(unreadInput)], output);
    const failed = skipped.length + failures.length + leftOut.count('format');
    output.event('done', {
      images: paths.length - skipped.length,
      failed,
      executor: classifier.executor.name,
      threads: classifier.executor.threads,
    });
    if (failed > 0) throw new ExitSignal(EXIT.failed);
  } finally {
    await classifier.close();
  }
}

/** Prints a line for each image; returns those that could not be read. */
async function predictAll(
  classifier: Classifier,
  images: readonly string[],
  top: number,
  output: Output,
): Promise<readonly UnreadImage[]> {
  const files = images.map((name) => ({ path: resolve(name), name, label: 0 }));
  const loader = classifier.loader({ kind: 'folder', files }, false, 0);
  const { classes } = classifier;
  const titles = distinctTitles(classes);
  const width = images.reduce((most, name) => Math.max(most, inOneLine(name).length), 0);
  try {
    for await (const { images: pixels, indices, real, labels, taken } of loader.epoch(0)) {
      if (real === 0) continue;
      const logits = await predictLogits(classifier.executor, pixels, taken);
      const count = logits.length / labels.length;
      for (let row = 0; row < real; row++) {
        const image = images[indices[row]];
        const scores = checkedLogits(logits.subarray(row * count, (row + 1) * count), image);
        const best = topClasses(scores, classes, top);
        output.event('prediction', { image, classes: best });
        const text = best.map(
          ({ index, probability }) => `${titles[index]} ${percent(probability)}`,
        );
        output.line(inOneLine(`${inOneLine(image).padEnd(width)}  ${text.join('  ')}`));
      }
      await output.caughtUp();
    }
    return loader.skipped.map(({ index, reason }) => ({ name: images[index], reason }));
  } finally {
    await loader.close();
  }
}

/** Something named that is no image, as one that cannot be read. */
function unreadInput({ parts: { where, expected, got, todo } }: ThimbleError): UnreadImage {
  return { name: where, reason: `expected ${expected}, got ${got}. ${todo}.` };
}

function sayLeftOut(leftOut: LeftOut, output: Output): void {
  if (leftOut.groups.length > 0) output.event('leftOut', { leftOut: leftOut.groups });
  if (!output.json) for (const line of leftOut.lines) output.note(`thimble: left out ${line}`);
}

function sayUnread(unread: readonly UnreadImage[], output: Output): void {
  if (output.json) saySkipped(unread, output);
  else if (unread.length > 0) output.note(`thimble: ${skippedLines(unread).join('\n')}`);
}

interface ClassProbability {
  readonly name: string;
  /** Of the model's output, which tells classes of one name from each other. */
  readonly index: number;
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
    index,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, top);
}

/** What people read for each class: its name in one line, with its number where others have that name too. */
export function distinctTitles(classes: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const name of classes) counts.set(name, (counts.get(name) ?? 0) + 1);
  return classes.map((name, index) => {
    const title = inOneLine(name);
    return counts.get(name) === 1 ? title : `${title} (output ${String(index)})`;
  });
}
