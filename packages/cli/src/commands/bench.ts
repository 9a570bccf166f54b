/** thimble bench: how fast a training step or a forward pass is on this machine. */
import {
  buildModel,
  compile,
  entryFlops,
  entryNamed,
  parseMethod,
  PLAIN_METHOD,
  plannedBytes,
  stepFlops,
  type ModelBuilder,
} from '@thimble/core';
import type { Command } from 'commander';
import { profileSteps, timeSteps, type Profile, type StepTimes } from '../bench/measure.js';
import { benchText, profileText } from '../bench/report.js';
import { Workload, type Work } from '../bench/workload.js';
import { chooseExecutor } from '../host/executors.js';
import { fittedModel, type NamedModel } from '../weights/named-model.js';
import { MOST, wholeNumber } from '../options/readers.js';
import { Output } from '../terminal/output.js';
import { checkStep, compileStep, cutText, givenKeys, type StepOptions } from '../step/step.js';
import {
  addExecutor,
  addHub,
  addJson,
  addStep,
  DEFAULT_MODEL,
  methodHelp,
  modelHelp,
  type CommonOptions,
  type ExecutorOptions,
  type HubOptions,
} from '../options/shared.js';
import { chooseModel } from '../source/choose.js';

interface BenchOptions
  extends CommonOptions, ExecutorOptions, HubOptions, Omit<StepOptions, 'model'> {
  readonly classes?: number;
  readonly imageSize?: number;
  readonly steps: number;
  readonly inference: boolean;
  readonly profile: boolean;
}

/** What is measured, and what to call it. */
interface Subject extends Work {
  readonly description: Readonly<Record<string, unknown>>;
  readonly title: string;
  readonly flops: number;
}

const HELP = `
Weights are random, images are noise; nothing is written. The step is that of thimble train: same
program, same memory. Beside it, in turns, runs a loop of multiply-adds with the instructions and
threads of the executor: the share of that peak tells how much is left to gain.

Examples:
  thimble bench vit-tiny-16 --batch 8
  thimble bench vit-tiny-16 --batch 8 --method wasi --profile
  thimble bench vit-base-16 --batch 1 --inference --executor wasm --threads 1
  thimble bench vit-micro --steps 50 --json
`;

export function addBench(program: Command): void {
  const command = program
    .command('bench')
    .summary('measure the speed of a training step')
    .description('Measures a training step or a forward pass of a model on this machine.')
    .argument(
      '[MODEL]',
      `${modelHelp()}; a file, a folder, a run, or owner/name on the hub`,
      DEFAULT_MODEL,
    )
    .option(
      '--classes <n>',
      'outputs of the classifier (default: as the model was published)',
      wholeNumber(1, MOST.classes),
    )
    .option('--steps <n>', 'steps to time, behind two to warm up', wholeNumber(1, MOST.steps), 10)
    .option('--inference', 'the forward pass alone', false)
    .option('--profile', 'also the time of each op beside the measured peaks', false);
  addJson(addExecutor(addHub(addStep(command))))
    .addHelpText('after', `\n${methodHelp()}\n${HELP}`)
    .action(async (model: string, options: BenchOptions) => {
      await benchCommand(model, options);
    });
}

async function benchCommand(name: string, options: BenchOptions): Promise<void> {
  const output = new Output(options.json);
  const kind = await chooseExecutor(options.executor, (text) => {
    output.note(text);
  });
  const { revision, offline, threads, steps } = options;
  const access = { output, offline, ...(revision === undefined ? {} : { revision }) };
  // The speed is the same whatever the weights are.
  const { model: published } = await chooseModel({ model: name, init: 'random' }, name, access);
  const subject = subjectOf(fittedModel(published, options), options);
  const workload = await Workload.load(kind, subject, threads);
  try {
    if (options.profile) workload.requireProfile();
    const times = await timeSteps(workload, kind, { steps, flops: subject.flops });
    const profile = options.profile ? await profileSteps(workload, kind, steps) : null;
    say(subject, workload, { times, profile }, options, output);
  } finally {
    await workload.close();
  }
}

function subjectOf(model: NamedModel, options: BenchOptions): Subject {
  return options.inference ? forwardPass(model, options) : trainingStep(model, options);
}

function trainingStep(model: NamedModel, options: BenchOptions): Subject {
  const step = compileStep(checkStep({ ...options, model }));
  const { program, config, method, saved, optimizer } = step;
  const how = { method: method.text, saved, optimizer: optimizer.name };
  return {
    ...{ program, optimizer, model: step.model, classes: config.classes },
    ...describe(model, options, how),
    flops: stepFlops(program),
  };
}

function forwardPass(model: NamedModel, options: BenchOptions): Subject {
  const { batch } = options;
  const method = parseMethod(options.method ?? PLAIN_METHOD, givenKeys(options));
  const build: ModelBuilder = (images, mode) => buildModel(model.config, { batch: images, mode });
  const program = compile({ model: build, method, batch, evalBatch: batch });
  return {
    ...{ program, optimizer: null, classes: model.config.classes },
    ...describe(model, options, { method: method.text }),
    model: method.forward(build(1, 'eval')),
    flops: entryFlops(program, entryNamed(program, 'eval')),
  };
}

function describe(
  { name, config }: NamedModel,
  { batch, microBatches = 1, slices = 1, inference }: BenchOptions,
  how: Readonly<Record<string, string>>,
): Pick<Subject, 'description' | 'title'> {
  const { imageSize, classes } = config;
  const passes = inference ? '' : cutText({ microBatches, slices });
  const parts = Object.entries(how).map(([key, is]) => (key === 'saved' ? `saved ${is}` : is));
  const size = `${String(imageSize)} px, ${String(classes)} classes`;
  return {
    description: {
      model: name,
      inference,
      ...how,
      batch,
      microBatches,
      slices,
      imageSize,
      classes,
    },
    title: `${name}, ${parts.join(', ')}, batch ${String(batch)}${passes}, ${size}`,
  };
}

interface Found {
  readonly times: StepTimes;
  readonly profile: Profile | null;
}

function say(
  { description, title, program, flops }: Subject,
  { executor }: Workload,
  { times, profile }: Found,
  { batch, inference }: BenchOptions,
  output: Output,
): void {
  const planned = plannedBytes(program, executor.threads);
  const { ms, rssPeakBytes, peakFlops, shareOfPeak } = times;
  output.event('bench', {
    ...description,
    ...{ executor: executor.name, executorDetail: executor.detail, threads: executor.threads },
    ...{ msPerStep: ms, imagesPerSecond: (1000 * batch) / ms.median, flopsPerStep: flops },
    ...{ flopsPerSecond: (1000 * flops) / ms.median, peakFlopsPerSecond: peakFlops, shareOfPeak },
    ...{ plannedBytes: planned, arenaBytes: executor.arenaBytes, rssPeakBytes },
    ...(profile && { profile }),
  });
  const where = `${executor.name} (${executor.detail}), threads: ${String(executor.threads)}`;
  output.line(`${title}; ${where}\n`);
  const bench = { images: batch, isInference: inference, flops, plannedBytes: planned, times };
  output.line(benchText(bench));
  if (profile) output.line(`\n${profileText(profile)}`);
}
