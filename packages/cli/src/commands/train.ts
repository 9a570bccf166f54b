/** thimble train: a folder of class folders in, a trained model out. */
import {
  augmentNamed,
  augments,
  trainingBatchCount,
  type ExecutorKind,
  type PrepareTables,
} from '@thimble/core';
import { Option, type Command } from 'commander';
import {
  choiceLines,
  compareWithFull,
  comparisonLines,
  type Comparison,
} from '../step/comparison.js';
import { sayDataSet } from '../data/report.js';
import { userCache } from '../data/image-cache.js';
import { CROP_SOURCES, type CropSource } from '../data/decoding.js';
import { largestReading } from '../data/image-file.js';
import { readDataSet } from '../data/set.js';
import { chooseExecutor, workersWithinCores } from '../host/executors.js';
import { withUsualVariance } from '../training/explained-variance.js';
import { defaultLearningRate } from '../training/learning-rate.js';
import {
  byteCount,
  MOST,
  nonNegativeNumber,
  outputPath,
  positiveNumber,
  share,
  wholeNumber,
} from '../options/readers.js';
import { Output } from '../terminal/output.js';
import { makeReady, type TrainingRequest, type Ready } from '../training/preparing.js';
import type { MemoryRecord, MemoryRequest } from '../memory/process-memory.js';
import { readyWithin } from '../budget/ready-within.js';
import { givenKeys, type StepOptions } from '../step/step.js';
import {
  addAllowEmpty,
  addCache,
  addExecutor,
  addHub,
  addJson,
  addKeepEvery,
  addPreprocess,
  addSaveEvery,
  addTime,
  addStep,
  addWorkers,
  DEFAULT_MODEL,
  methodHelp,
  modelHelp,
  type CacheOptions,
  type CommonOptions,
  type ExecutorOptions,
  type HubOptions,
  type PreprocessOptions,
} from '../options/shared.js';
import { sayEnd } from '../training/closing.js';
import { stepSettings, type RunPlan } from '../training/run-plan.js';
import type { RunSettings } from '../run/record.js';
import { startedMethod } from '../run/form.js';
import type { Start } from '../source/start.js';
import { runTraining } from '../training/training.js';
import { checkFree, nextNumbered, TrainingFolder } from '../training/folder.js';
import { sayStart, startFrom, type TrainingStart } from '../source/training-start.js';
import { HEADS, type Head } from '../source/head.js';

interface TrainOptions
  extends
    CommonOptions,
    ExecutorOptions,
    HubOptions,
    CacheOptions,
    PreprocessOptions,
    Omit<StepOptions, 'model'> {
  readonly model?: string;
  readonly imageSize?: number;
  readonly head: Head;
  readonly epochs: number;
  readonly lr?: number;
  readonly warmup: number;
  readonly seed: number;
  readonly out?: string;
  readonly force: boolean;
  readonly init?: string;
  readonly val?: string;
  readonly valFraction: number;
  readonly asClasses: boolean;
  readonly limit?: number;
  readonly allowEmpty: boolean;
  readonly augment: string;
  readonly cropSource: CropSource;
  readonly strict: boolean;
  readonly memory?: number;
  readonly workers: number;
  readonly time?: number;
  readonly saveEvery?: number;
  readonly keepEvery?: number;
}

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
        .default('auto'),
    )
    .option('--epochs <n>', 'passes over the training images', wholeNumber(1, MOST.epochs), 10)
    .option('--lr <x>', 'peak learning rate (default: by optimiser and method)', positiveNumber);
  addHub(addPreprocess(addStep(command)))
    .option(
      '--warmup <x>',
      'epochs of rising rate; below 1 a share of the run',
      nonNegativeNumber,
      0.1,
    )
    .option('--augment <name>', Object.keys(augments).join(', '), 'light')
    .addOption(
      new Option(
        '--crop-source <how>',
        'what random crops are cut from: photos reduced as far as no crop is enlarged, or whole ones',
      )
        .choices(CROP_SOURCES)
        .default('reduced'),
    )
    .option('--val <dir>', 'validation images (default: held out of DIR)')
    .option('--val-fraction <x>', 'share of each class to hold out', share, 0.2)
    .option('--limit <n>', 'most training images of a class, for a quick try', wholeNumber(1))
    .option('--as-classes', 'every sub-folder of DIR is a class, also train, val or test', false);
  addAllowEmpty(command)
    .option('--seed <n>', 'of weights, order, augmentation and split', wholeNumber(0), 0)
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
    .action(async (folder: string, options: TrainOptions) => {
      await trainCommand(folder, options);
    });
}

async function trainCommand(folder: string, asked: TrainOptions): Promise<void> {
  const output = new Output(asked.json);
  const note = (text: string) => {
    output.note(text);
  };
  const options = { ...asked, workers: workersWithinCores(asked.workers, note) };
  const { out, force } = options;
  checkFree(out ?? nextNumbered(folder), force);
  augmentNamed(options.augment);
  const kind = await chooseExecutor(options.executor, note);
  const photos = await readDataSet({
    ...{ folder, ...options, share: options.valFraction },
    ...(options.val === undefined ? {} : { validation: options.val }),
  });
  sayDataSet(photos, output);
  trainingBatchCount(photos.train.length, options.batch);
  const beginning = await startFrom(options, photos, output);
  try {
    sayStart(beginning, output);
    const request = memoryRequest(options, beginning);
    const fitting = await readyToTrain(jobOf(options, beginning, kind), request, output);
    const { step, tables } = fitting.ready;
    sayTables(tables, output);
    if (tables || output.json) sayComparison(compareWithFull(step, options.threads), output);
    const takeFolder = () =>
      out === undefined ? TrainingFolder.takeNumbered(folder) : TrainingFolder.take(out, force);
    const plan = { ...planOf(options, beginning, fitting), kind, takeFolder };
    sayEnd(await runTraining(plan, output), output);
  } finally {
    beginning.start?.checkpoint.close();
  }
}

function memoryRequest(
  { memory, workers }: TrainOptions,
  { data: { train, validation }, preprocess }: TrainingStart,
): MemoryRequest | null {
  if (memory === undefined) return null;
  const paths = [...train, ...validation].map(({ path }) => path);
  const largest = largestReading(paths, preprocess.size);
  return { bytes: memory, images: paths.length, workers, largest };
}

interface ReadyToTrain {
  readonly ready: Ready;
  /** What was chosen for --memory; null without. */
  readonly memory: MemoryRecord | null;
}

/** Finds ranks and compiles; nothing is written, so that Ctrl-C may end it anywhere. */
async function readyToTrain(
  job: TrainingRequest,
  request: MemoryRequest | null,
  output: Output,
): Promise<ReadyToTrain> {
  if (request) return readyWithin(job, request, output);
  return { ready: await makeReady(job, output), memory: null };
}

function jobOf(
  options: TrainOptions,
  { data, start, model, preprocess }: TrainingStart,
  kind: ExecutorKind,
): TrainingRequest {
  const { seed, strict, threads, augment, cropSource } = options;
  const taken = options.memory === undefined ? takenUp(options, start) : {};
  const chosen = { ...options, ...taken, model, levels: preprocess };
  const method = startedMethod(options.method, givenKeys(chosen), start);
  return {
    options: chosen,
    // --memory chooses for itself.
    method: options.memory === undefined ? withUsualVariance(method, data.train.length) : method,
    start,
    kind,
    threads,
    seed,
    images: { kind: 'folder', files: data.train },
    preprocess,
    augment: augmentNamed(augment),
    cropSource,
    strict,
  };
}

/** What --memory chose for the run that this one starts from, where it is left open now. */
function takenUp(
  { batch, saved, microBatches, slices }: TrainOptions,
  start: Start | null,
): Pick<StepOptions, 'saved' | 'microBatches' | 'slices'> {
  const chosen = start?.chosen;
  if (chosen?.batch !== batch) return {};
  return {
    saved: saved ?? chosen.saved,
    microBatches: microBatches ?? chosen.microBatches,
    slices: slices ?? chosen.slices,
  };
}

function sayTables(tables: PrepareTables | null, output: Output): void {
  if (!tables) return;
  output.event('prepared', { ...tables });
  for (const line of choiceLines(tables)) output.line(line);
}

function sayComparison(comparison: Comparison | null, output: Output): void {
  if (!comparison) return;
  output.event('comparison', { ...comparison });
  for (const line of ['', ...comparisonLines(comparison)]) output.line(line);
}

function planOf(
  options: TrainOptions,
  beginning: TrainingStart,
  fitting: ReadyToTrain,
): Omit<RunPlan, 'kind' | 'takeFolder'> {
  const { data, start } = beginning;
  const { warmup, strict, threads, augment, workers, time, saveEvery } = options;
  const { step, tables, fill } = fitting.ready;
  return {
    settings: settingsOf(options, beginning, fitting),
    step,
    augment: augmentNamed(augment),
    train: { kind: 'folder', files: data.train },
    validation: { kind: 'folder', files: data.validation },
    warmup,
    ignored: start?.ignored ?? [],
    tables,
    fill: ({ executor }) => fill(executor),
    strict,
    ...(time === undefined ? {} : { timeMs: time }),
    ...(saveEvery === undefined ? {} : { saveEvery }),
    loading: { workers },
    cache: userCache(options.cache, process.env),
    threads,
  };
}

function settingsOf(
  options: TrainOptions,
  { data, start, preprocess, origin }: TrainingStart,
  { ready: { step, found }, memory }: ReadyToTrain,
): RunSettings {
  const { epochs, keepEvery, smoothing, seed, augment, cropSource } = options;
  const { optimizer, model } = step;
  return {
    ...stepSettings(step),
    found,
    ...(memory && { memory }),
    classes: data.classes,
    preprocess,
    augment,
    cropSource,
    learningRate: options.lr ?? defaultLearningRate(optimizer.name, model, start === null),
    smoothing,
    clip: options.clip ?? null,
    epochs,
    ...(keepEvery === undefined ? {} : { keepEvery }),
    seed,
    init: start?.text ?? null,
    ...(origin && { origin }),
    data: {
      from: data.trainFrom,
      validationFrom: data.validationFrom,
      trainImages: data.train.length,
      validationImages: data.validation.length,
    },
  };
}
