/** thimble plan: what a training step needs, before anything runs. */
import { ConfigError } from '@thimble/core';
import { Option, type Command } from 'commander';
import { defaultThreads } from '../host/executors.js';
import { replaceWithText } from '../host/files.js';
import { planOf, planStep, stepChart, stepText, type PlanOptions } from '../library/plan.js';
import { threadsFor } from '../library/work.js';
import { numberFor, outputPath } from '../options/readers.js';
import {
  addHub,
  addJson,
  addStep,
  methodHelp,
  modelHelp,
  type CommonOptions,
} from '../options/shared.js';
import { paperLines } from '../say/paper.js';
import { planLines } from '../say/plan.js';
import { paperFields } from '../step/paper.js';
import { Output } from '../terminal/output.js';
import { spoken } from './spoken.js';

interface Options extends CommonOptions, Omit<PlanOptions, 'model'> {
  readonly model?: string;
  readonly svg?: string;
  readonly print?: string;
  readonly paper: boolean;
}

const HELP = `
The bytes are exact: training allocates what the plan says, and nothing while it runs.

Examples:
  thimble plan vit-tiny-16 --batch 8
  thimble plan vit-tiny-16 --batch 8 --method last-k=4 --svg memory.svg
  thimble plan vit-base-16 --batch 32 --micro-batches 8 --json
  thimble plan vit-base-32 --batch 128 --paper
  thimble plan vit-micro --print program
  thimble plan google/vit-base-patch16-224 --method wasi
`;

export function addPlan(program: Command): void {
  const command = program
    .command('plan')
    .summary('show the memory and work of a training step')
    .description('Shows the memory and the work of a training step without running it.')
    .argument('[MODEL]', `${modelHelp()}; a file, a folder, a run, or owner/name on the hub`)
    .option('--model <name>', 'the same as MODEL')
    .option(
      '--classes <n>',
      'outputs of the classifier (default: as the model was published)',
      numberFor('classes'),
    )
    .option(
      '--threads <n>',
      'worker threads, each with scratch of its own',
      numberFor('threads'),
      defaultThreads(),
    );
  addHub(addStep(command))
    .option('--svg <file>', 'draw the memory over the step', outputPath)
    .option('--paper', "beside the plan, the WASI paper's counts of memory and work", false)
    .addOption(new Option('--print <form>', 'print a text form: graph or program'));
  addJson(command)
    .addHelpText('after', `\n${methodHelp()}\n${HELP}`)
    .action(async (model: string | undefined, options: Options) => {
      await planCommand(model, options);
    });
}

async function planCommand(positional: string | undefined, options: Options): Promise<void> {
  const output = new Output(options.json);
  const asked = { ...options, model: modelName(positional, options.model) };
  const step = await spoken(output, (hooks) => planStep(asked, hooks));
  const { print: form, svg } = options;
  if (form !== undefined) {
    const text = stepText(step, form);
    output.event('text', { form, text });
    output.line(text.replace(/\n$/, ''));
    return;
  }
  const threads = threadsFor(options);
  const fields = planOf(step, threads);
  if (svg !== undefined) await replaceWithText(svg, stepChart(step, threads));
  const paper = options.paper ? paperFields(step, threads) : null;
  output.event('plan', { ...fields, ...(paper && { paper }) });
  for (const line of planLines(step, fields)) output.line(line);
  if (paper) for (const line of ['', ...paperLines(paper)]) output.line(line);
  if (svg !== undefined) output.line(`\nDrawn in ${svg}`);
}

function modelName(positional: string | undefined, option: string | undefined): string {
  const name = positional ?? option;
  if (name !== undefined && (option === undefined || option === name)) return name;
  throw new ConfigError({
    where: 'thimble plan',
    expected: 'one MODEL',
    got: name === undefined ? 'none' : `${name} and --model ${option ?? ''}`,
    todo: `Name one of ${modelHelp()}, a file or folder with weights, or owner/name on the hub`,
  });
}
