/** thimble bench: how fast a training step or a forward pass is on this machine. */
import type { Command } from 'commander';
import { bench, BENCH_DEFAULTS, type BenchOptions, type BenchResult } from '../library/bench.js';
import { numberFor } from '../options/readers.js';
import {
  addExecutor,
  addHub,
  addJson,
  addStep,
  methodHelp,
  modelHelp,
  type CommonOptions,
} from '../options/shared.js';
import { benchText, profileText } from '../say/bench.js';
import { DEFAULT_MODEL } from '../source/options.js';
import { Output } from '../terminal/output.js';
import { spoken } from './spoken.js';

type Options = Omit<BenchOptions, 'model'> & CommonOptions;

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
      numberFor('classes'),
    )
    .option(
      '--steps <n>',
      'steps to time, behind two to warm up',
      numberFor('steps'),
      BENCH_DEFAULTS.steps,
    )
    .option('--inference', 'the forward pass alone', false)
    .option('--profile', 'also the time of each op beside the measured peaks', false);
  addJson(addExecutor(addHub(addStep(command))))
    .addHelpText('after', `\n${methodHelp()}\n${HELP}`)
    .action(async (model: string, options: Options) => {
      const output = new Output(options.json);
      say(await spoken(output, (hooks) => bench({ ...options, model }, hooks)), output);
    });
}

function say(result: BenchResult, output: Output): void {
  const { title, description, batch, inference, flops, times, profile } = result;
  const { executor, executorDetail, threads, plannedBytes, arenaBytes } = result;
  const { ms, rssPeakBytes, peakFlops, shareOfPeak } = times;
  output.event('bench', {
    ...description,
    ...{ executor, executorDetail, threads },
    ...{ msPerStep: ms, imagesPerSecond: (1000 * batch) / ms.median, flopsPerStep: flops },
    ...{ flopsPerSecond: (1000 * flops) / ms.median, peakFlopsPerSecond: peakFlops, shareOfPeak },
    ...{ plannedBytes, arenaBytes, rssPeakBytes },
    ...(profile && { profile }),
  });
  output.line(`${title}; ${executor} (${executorDetail}), threads: ${String(threads)}\n`);
  const said = { images: batch, isInference: inference, flops, plannedBytes, times };
  output.line(benchText(said));
  if (profile) output.line(`\n${profileText(profile)}`);
}
