/**
 * thimble demo: trains vit-micro on pictures that the project draws itself; nothing is downloaded.
 *
 * Twice, with the same pictures in the same order: from random weights, then from the pretrained
 * ones that come with Thimble, to show the difference. The recipe is fixed so that the result can be
 * compared between machines: images, order and weights follow from the seed alone.
 */
import {
  augmentNamed,
  centredDown,
  initialise,
  loadWeights,
  megabytes,
  PLAIN_METHOD,
  predictLogits,
  shapesClasses,
  shapesSource,
  softmax,
  argmax,
  type Executor,
  type Preprocess,
} from '@thimble/core';
import type { Command } from 'commander';
import { join } from 'node:path';
import { Loader } from '../data/loader.js';
import { Caller } from '../events/caller.js';
import type { DownloadEvent } from '../hub/progress.js';
import { executorFor, type ExecutorOptions } from '../library/work.js';
import { replaceFile, replaceWithText, writeAll } from '../host/files.js';
import { counted, duration, milliseconds, percent } from '../terminal/format.js';
import { memoryChart } from '../memory/chart.js';
import { numberFor, outputPath } from '../options/readers.js';
import { fittedModel } from '../weights/named-model.js';
import { Output } from '../terminal/output.js';
import { predictionsPicture, type PicturedPrediction } from '../pictures/predictions.js';
import { readRunRecord } from '../run/folder.js';
import { checkStep, compileStep, type CompiledStep } from '../step/step.js';
import { sayInterrupted } from '../say/closing.js';
import type { RunEvent } from '../training/events.js';
import { spoken, STOPPING } from './spoken.js';
import { openStart, type Start } from '../source/start.js';
import { originOf } from '../source/origin-of.js';
import { addExecutor, addJson, type CommonOptions } from '../options/shared.js';
import { tableText } from '../terminal/table.js';
import { stepSettings, type RunPlan } from '../training/run-plan.js';
import type { RunSettings } from '../run/record.js';
import { runTraining, type RunSummary } from '../training/training.js';
import { checkFree, TrainingFolder } from '../training/folder.js';

interface DemoOptions extends CommonOptions, Required<ExecutorOptions> {
  readonly epochs: number;
  readonly images: number;
  readonly seed: number;
  readonly out: string;
}

/** The recipe: few enough pictures for the start to matter, and enough to learn them. */
const RECIPE = {
  model: 'vit-micro',
  images: 1600,
  validationImages: 1200,
  epochs: 3,
  batch: 16,
  learningRate: 1e-3,
  weightDecay: 0.05,
  warmup: 0.1,
  augment: 'flip',
} as const;

const DEFAULT_FOLDER = 'thimble-demo';
/** Folder of the run from random weights, in that of the other. */
const RANDOM = 'random';
/** Validation pictures come from a set of their own. */
const VALIDATION_SEED = 1_000_000;
/** Predictions of which the picture shows the first ones and the first mistakes. */
const PREDICTED = 480;
const SHOWN = 16;
const SHOWN_MISTAKES = 8;
const PICTURE_COLUMNS = 8;

const HELP = `
Example:
  thimble demo --out my-demo

Trains from random weights and from pretrained ones. Writes the run folder of the latter with
predictions.png, a few predictions, and memory.svg, the memory of a step; in random/, the other.
`;

export function addDemo(program: Command): void {
  const command = program
    .command('demo')
    .summary('train on drawn shapes, without any download')
    .description(
      'Trains a small vision transformer on drawn shapes and textures, from random weights and ' +
        'from the pretrained ones that come with Thimble; no download.',
    )
    .option('--epochs <n>', 'passes over the training images', numberFor('epochs'), RECIPE.epochs)
    .option('--images <n>', 'training images to draw', numberFor('drawnImages'), RECIPE.images)
    .option('--seed <n>', 'of images, weights and order', numberFor('seed'), 0)
    .option(
      '--out <dir>',
      'run folder; in the default one, a demo is replaced',
      outputPath,
      DEFAULT_FOLDER,
    );
  addJson(addExecutor(command))
    .addHelpText('after', HELP)
    .action(async (options: DemoOptions) => {
      await demoCommand(options);
    });
}

async function demoCommand(options: DemoOptions): Promise<void> {
  const output = new Output(options.json);
  checkFree(options.out, isReplaced(options));
  await spoken(
    output,
    async (hooks) => {
      await bothRuns(options, output, new Caller(hooks));
      hooks.signal?.throwIfAborted(); // ends with the code of the signal
    },
    STOPPING,
  );
}

async function bothRuns(
  options: DemoOptions,
  output: Output,
  caller: Caller<DownloadEvent | RunEvent>,
): Promise<void> {
  const kind = await executorFor(options, caller);
  const found = await openStart(RECIPE.model, { caller });
  const start = { ...found, preprocess: centredDown(found.preprocess) };
  try {
    const step = demoStep(start);
    const plan = { ...demoPlan(options, step), kind };
    const shared = { step, settings: demoSettings(options, step, start.preprocess) };
    // Both runs lie in it: no other process comes in between them.
    const folder = TrainingFolder.take(options.out, isReplaced(options));
    try {
      const random = { ...plan, ...fromRandom(shared, options) };
      const pretrained = { ...plan, ...fromStart(shared, options, start, folder) };
      await demo(random, pretrained, output, caller);
    } finally {
      folder.close();
    }
  } finally {
    start.checkpoint.close();
  }
}

/** An earlier demo in the folder that nobody chose. */
function isReplaced({ out }: DemoOptions): boolean {
  return out === DEFAULT_FOLDER;
}

async function demo(
  random: RunPlan,
  pretrained: RunPlan,
  output: Output,
  caller: Caller<RunEvent>,
): Promise<void> {
  output.line('1 of 2: from random weights');
  const before = await runTraining(random, caller);
  const isCut = before.status === 'interrupted';
  if (!isCut) output.line('\n2 of 2: from the pretrained weights of Thimble');
  const { status, summary } = isCut ? before : await runTraining(pretrained, caller);
  if (status === 'interrupted') {
    sayInterrupted(summary, false, output);
    return;
  }
  await writeMemory(pretrained, summary.run);
  output.line();
  output.event('done', { ...summary, random: before.summary });
  sayDemo(before.summary, summary, output);
}

function demoStep({ model: { name, config }, preprocess }: Start): CompiledStep {
  const { batch, weightDecay } = RECIPE;
  const model = fittedModel({ name, config }, { classes: shapesClasses.length });
  const fixed = { model, method: PLAIN_METHOD, optimizer: 'adamw', microBatches: 1 };
  const step = { ...fixed, batch, weightDecay, smoothing: 0, levels: preprocess };
  return compileStep(checkStep(step));
}

/** What both runs share. */
function demoPlan(
  options: DemoOptions,
  step: CompiledStep,
): Omit<RunPlan, 'kind' | keyof DemoStart> {
  const { images, seed, threads } = options;
  const { validationImages, augment, warmup } = RECIPE;
  return {
    step,
    augment: augmentNamed(augment),
    train: { kind: 'shapes', seed, count: images },
    validation: { kind: 'shapes', seed: seed + VALIDATION_SEED, count: validationImages },
    warmup,
    tables: null,
    strict: true,
    loading: { workers: 0 },
    cache: null,
    threads,
  };
}

function demoSettings(
  options: DemoOptions,
  step: CompiledStep,
  preprocess: Preprocess,
): DemoShared['settings'] {
  const { images, epochs, seed } = options;
  const { validationImages, augment, learningRate } = RECIPE;
  return {
    ...stepSettings(step),
    found: {},
    classes: shapesClasses,
    preprocess,
    augment,
    learningRate,
    ...{ smoothing: 0, clip: null, epochs, seed },
    data: {
      from: `drawn shapes of seed ${String(seed)}`,
      validationFrom: `drawn shapes of seed ${String(seed + VALIDATION_SEED)}`,
      trainImages: images,
      validationImages,
    },
  };
}

interface DemoShared {
  readonly step: CompiledStep;
  readonly settings: Omit<RunSettings, 'init' | 'origin'>;
}

/** What each run has of its own: where it starts, and its folder. */
type DemoStart = Pick<RunPlan, 'settings' | 'ignored' | 'fill' | 'takeFolder' | 'afterwards'>;

function fromRandom({ step, settings }: DemoShared, { seed, out }: DemoOptions): DemoStart {
  return {
    settings: { ...settings, init: null },
    ignored: [],
    fill: ({ executor }) => {
      initialise(executor, step.model, seed);
      return Promise.resolve(null);
    },
    takeFolder: () => TrainingFolder.take(join(out, RANDOM), true),
  };
}

function fromStart(
  { step, settings }: DemoShared,
  { seed, out }: DemoOptions,
  start: Start,
  folder: TrainingFolder,
): DemoStart {
  const { preprocess, text: init, ignored, checkpoint } = start;
  return {
    settings: { ...settings, init, origin: originOf(start) },
    ignored,
    fill: ({ executor }) => Promise.resolve(loadWeights(executor, step.model, checkpoint, seed)),
    takeFolder: () => folder,
    afterwards: async (executor) => {
      const pictures = await predictions(executor, preprocess, seed + VALIDATION_SEED, step.pass);
      const png = await picture(pictures);
      await replaceFile(join(out, 'predictions.png'), (descriptor) => writeAll(descriptor, png));
    },
  };
}

/** Predictions for the first PREDICTED validation pictures. */
async function predictions(
  executor: Executor,
  preprocess: Preprocess,
  seed: number,
  batch: number,
): Promise<readonly PicturedPrediction[]> {
  const source = shapesSource(seed, PREDICTED);
  const description = { kind: 'shapes', seed, count: PREDICTED } as const;
  const settings = { source: description, purpose: 'evaluate', batch, seed, preprocess } as const;
  const rest = { augment: augmentNamed('none'), strict: true, levels: true };
  const loader = new Loader({ ...settings, ...rest }, { workers: 0 });
  const result: PicturedPrediction[] = [];
  try {
    for await (const { images, indices, real, taken } of loader.epoch(0)) {
      const logits = await predictLogits(executor, images, taken);
      const classes = shapesClasses.length;
      for (let row = 0; row < real; row++) {
        const probabilities = softmax(logits.subarray(row * classes, (row + 1) * classes));
        const best = argmax(probabilities);
        result.push({
          image: await source.pixels(indices[row]),
          truth: shapesClasses[source.label(indices[row])],
          predicted: shapesClasses[best],
          probability: probabilities[best],
        });
      }
    }
  } finally {
    await loader.close();
  }
  return result;
}

/** The first predictions as they come, then a row of mistakes if there are any. */
function picture(all: readonly PicturedPrediction[]): Promise<Buffer> {
  const wrong = all.slice(SHOWN).filter(({ truth, predicted }) => truth !== predicted);
  const title =
    'Predictions on images not trained on' + (wrong.length > 0 ? '; below, mistakes' : '');
  const shown = [...all.slice(0, SHOWN), ...wrong.slice(0, SHOWN_MISTAKES)];
  return predictionsPicture(shown, PICTURE_COLUMNS, title);
}

async function writeMemory(plan: RunPlan, folder: string): Promise<void> {
  const title = `vit-micro, full, adamw, batch ${String(RECIPE.batch)}`;
  const chart = memoryChart(plan.step.program, { title, threads: plan.threads });
  await replaceWithText(join(folder, 'memory.svg'), chart);
}

function sayDemo(random: RunSummary, pretrained: RunSummary, output: Output): void {
  const { msPerStep, plannedBytes, rssPeakBytes, executor, executorDetail, threads } = pretrained;
  const [before, after] = [random, pretrained].map(({ run }) => readRunRecord(run).history);
  output.line(
    tableText(
      ['Validation accuracy', '>random weights', '>pretrained weights'],
      after.map(({ epoch, accuracy }, index) => [
        `after ${counted(epoch, 'epoch')}`,
        percent(before[index].accuracy),
        percent(accuracy),
      ]),
    ),
  );
  output.line();
  output.line(
    tableText(
      ['Training', ''],
      [
        ['Time', `${duration(random.seconds)} and ${duration(pretrained.seconds)}`],
        ['Step', `${milliseconds(msPerStep ?? NaN)} for ${String(RECIPE.batch)} images`],
        ['Memory, planned', `${megabytes(plannedBytes)} for model, optimiser and step`],
        ['Memory, measured', `${megabytes(rssPeakBytes)} for the whole process at most`],
        ['Executor', `${executor} (${executorDetail}), threads: ${String(threads)}`],
      ],
    ),
  );
  output.line();
  const { run } = pretrained;
  output.line(`Look at ${join(run, 'predictions.png')} and ${join(run, 'memory.svg')}`);
}
