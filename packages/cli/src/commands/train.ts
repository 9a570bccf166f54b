/** thimble train: a folder of class folders in, a trained model out. */
import { augments } from '@thimble/core';
import { CROP_SOURCES } from '../data/decoding.js';
import { Option, type Command } from 'commander';
import { TRAIN_DEFAULTS, train, type TrainingOptions } from '../library/train.js';
import { byteCount, numberFor, outputPath } from '../options/readers.js';
import {
  addAllowEmpty,
  addCache,
  addExecutor,
  addHub,
  addJson,
  addKeepEvery,
  addPreprocess,
  addSaveEvery,
  addStep,
  addTime,
  addWorkers,
  methodHelp,
  modelHelp,
  type CommonOptions,
} from '../options/shared.js';
import { sayEnd } from '../say/closing.js';
import { HEADS } from '../source/head.js';
import { DEFAULT_MODEL } from '../source/options.js';
import { Output } from '../terminal/output.js';
import { spoken, STOPPING } from './spoken.js';

type Options = Omit<TrainingOptions, 'data'> & CommonOptions;

const HELP = `
DIR has one sub-folder of JPEG, PNG or WebP images per class. Where it has train/ and val/ (or
test/; also training/, valid/, …) with class folders inside, these are used; otherwise --val-fraction
of each class is held out, copies of an image together. What was left out is said; what is plainly a
split but cannot be used as one, and a class of which nothing can be read, are refused.

A manifest has a line for each image with columns (CSV, TSV) or keys (JSON lines) file and label, and
split (train, val, test) where it has one; paths count from its own folder.

Ctrl-C, SIGTERM and SIGHUP end the run behind the present step with its weights saved; a second one
ends it at once. A run whose loss diverges fails and keeps the weights of the last good epoch. However
a run was ended, thimble resume RUN goes on from where it was saved last, to the same weights as
without the interruption. --time ends a run in the same way, with exit code 0; it only stops the run:
the learning rate follows the curve of --epochs.

Models of the hub are kept in the cache of huggingface_hub (HF_HOME); HF_TOKEN opens private ones.

Examples:
  thimble train photos                                     the model that comes with Thimble (32 px)
  thimble train photos --init vit_tiny.safetensors         fine-tune pretrained weights
  thimble train photos --model google/vit-base-patch16-224-in21k
                                                           pretrained weights from the hub
  thimble train photos --init vit_tiny.safetensors --method head --optimizer adamw
  thimble train photos --init vit_tiny.safetensors --method wasi --memory 250MB
                                                           the best of what is open that fits
`;

export function addTrain(program: Command): void {
  const command = program
    .command('train')
    .summary('train a model on a folder of images')
    .description('Trains a model on a folder of images, one sub-folder per class.')
    .argument('<DIR>', 'folder of class folders, or a manifest: a .csv, .tsv or .jsonl file')
    .option(
      '--model <name>',
      `${modelHelp()}; owner/name on the hub; a folder (default: of --init, else ${DEFAULT_MODEL})`,
    )
    .option(
      '--init <weights>',
      'to start from: a safetensors file, a folder, a run, owner/name on the hub, or random',
    )
    .addOption(
      new Option('--head <how>', 'the classifier: kept where its classes are those of DIR (auto)')
        .choices(HEADS)
        .default(TRAIN_DEFAULTS.head),
    )
    .option(
      '--epochs <n>',
      'passes over the training images',
      numberFor('epochs'),
      TRAIN_DEFAULTS.epochs,
    )
    .option('--lr <x>', 'peak learning rate (default: by optimiser and method)', numberFor('lr'));
  addHub(addPreprocess(addStep(command)))
    .option(
      '--warmup <x>',
      'epochs of rising rate; below 1 a share of the run',
      numberFor('warmup'),
      TRAIN_DEFAULTS.warmup,
    )
    .option('--augment <name>', Object.keys(augments).join(', '), TRAIN_DEFAULTS.augment)
    .addOption(
      new Option(
        '--crop-source <how>',
        'what random crops are cut from: photos reduced as far as no crop is enlarged, or whole ones',
      )
        .choices(CROP_SOURCES)
        .default(TRAIN_DEFAULTS.cropSource),
    )
    .option('--val <dir>', 'validation images (default: held out of DIR)')
    .option(
      '--val-fraction <x>',
      'share of each class to hold out',
      numberFor('valFraction'),
      TRAIN_DEFAULTS.valFraction,
    )
    .option('--limit <n>', 'most training images of a class, for a quick try', numberFor('limit'))
    .option('--as-classes', 'every sub-folder of DIR is a class, also train, val or test', false);
  addAllowEmpty(command)
    .option(
      '--seed <n>',
      'of weights, order, augmentation and split',
      numberFor('seed'),
      TRAIN_DEFAULTS.seed,
    )
    .option('--out <dir>', 'run folder (default: runs/<name of DIR>-<n>)', outputPath)
    .option('--force', 'replace an earlier run in --out, once the new one has weights', false)
    .option('--strict', 'stop at the first unreadable image', false)
    .option(
      '--memory <size>',
      'what the whole process may take, as in 512MB: chooses what is left open of --slices, --saved, ' +
        '--micro-batches and the explained variances, or refuses to start',
      byteCount,
    );
  addJson(addExecutor(addCache(addWorkers(addSaveEvery(addKeepEvery(addTime(command)))))))
    .addHelpText('after', `\n${methodHelp()}\n${HELP}`)
    .action(async (data: string, options: Options) => {
      await trainCommand({ ...options, data });
    });
}

async function trainCommand({ json, ...options }: TrainingOptions & CommonOptions): Promise<void> {
  const output = new Output(json);
  await spoken(
    output,
    async (hooks) => {
      sayEnd(await train({ ...options, compare: json }, hooks), output);
      hooks.signal?.throwIfAborted(); // ends with the code of the signal
    },
    STOPPING,
  );
}
