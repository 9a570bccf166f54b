/** thimble plan: what a training step needs, before anything runs. */
import {
  compileGraphs,
  lookUp,
  megabytes,
  memoryReport,
  printGraph,
  printProgram,
  type BoundMethod,
  type MemoryReport,
  type Program,
} from '@thimble/core';
import { ConfigError } from '@thimble/core';
import { Option, type Command } from 'commander';
import { replaceWithText } from '../host/files.js';
import { metric } from '../terminal/format.js';
import { memoryChart } from '../memory/chart.js';
import { trainingTenants } from '../memory/map.js';
import { MOST, outputPath, wholeNumber } from '../options/readers.js';
import { fittedModel } from '../weights/named-model.js';
import { Output } from '../terminal/output.js';
import { paperFields, paperLines } from '../step/paper.js';
import {
  parameterCounts,
  checkStep,
  compileStep,
  cutText,
  type CompiledStep,
  type StepOptions,
} from '../step/step.js';
import {
  addHub,
  addJson,
  addStep,
  methodHelp,
  modelHelp,
  type CommonOptions,
  type HubOptions,
} from '../options/shared.js';
import { defaultThreads } from '../host/executors.js';
import { tableText } from '../terminal/table.js';
import { chooseModel } from '../source/choose.js';

interface PlanOptions extends CommonOptions, HubOptions, Omit<StepOptions, 'model'> {
  readonly model?: string;
  readonly imageSize?: number;
  readonly classes?: number;
  readonly threads: number;
  readonly svg?: string;
  readonly print?: string;
  readonly paper: boolean;
}

/** Said where a method's ranks are not those of any weights. */
const TYPICAL: readonly string[] = [
  'The ranks are typical ones: thimble train finds those of your weights and images first.',
];

/** Tensors in the table. */
const TOP = 12;

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
      wholeNumber(1, MOST.classes),
    )
    .option(
      '--threads <n>',
      'worker threads, each with scratch of its own',
      wholeNumber(1, MOST.threads),
      defaultThreads(),
    );
  addHub(addStep(command))
    .option('--svg <file>', 'draw the memory over the step', outputPath)
    .option('--paper', "beside the plan, the WASI paper's counts of memory and work", false)
    .addOption(new Option('--print <form>', 'print a text form: graph or program'));
  addJson(command)
    .addHelpText('after', `\n${methodHelp()}\n${HELP}`)
    .action(async (model: string | undefined, options: PlanOptions) => {
      await planCommand(model, options);
    });
}

async function planCommand(positional: string | undefined, options: PlanOptions): Promise<void> {
  const output = new Output(options.json);
  const name = modelName(positional, options.model);
  const { revision, offline } = options;
  const access = { output, offline, ...(revision === undefined ? {} : { revision }) };
  // A plan is the same whatever the weights are.
  const { model: published } = await chooseModel({ model: name, init: 'random' }, name, access);
  const step = compileStep(checkStep({ ...options, model: fittedModel(published, options) }));
  if (options.print !== undefined) {
    const text = lookUp('text form', options.print, PRINTERS)(step);
    output.event('text', { form: options.print, text });
    output.line(text.replace(/\n$/, ''));
    return;
  }
  const fields = planFields(step, options);
  if (options.svg !== undefined) await writeChart(options.svg, step, options);
  const paper = options.paper ? paperFields(step, options.threads) : null;
  output.event('plan', { ...fields, ...(paper && { paper }) });
  for (const line of planLines(step, fields)) output.line(line);
  if (paper) for (const line of ['', ...paperLines(paper)]) output.line(line);
  if (options.svg !== undefined) output.line(`\nDrawn in ${options.svg}`);
}

function hasRanks({ probe }: BoundMethod): boolean {
  return probe !== null;
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

const PRINTERS: Readonly<Record<string, (step: CompiledStep) => string>> = {
  graph: (step) =>
    compileGraphs(step.compileOptions)
      .map(({ name, graph }) => `entry ${name}\n${printGraph(graph)}`)
      .join('\n'),
  program: (step) => printProgram(step.program),
};

interface PlanFields extends MemoryReport {
  readonly [name: string]: unknown;
  readonly parameters: number;
  readonly trainable: number;
  /** `typical` where a method's ranks are not those of any weights; null without ranks. */
  readonly ranks: 'typical' | null;
}

function planFields(step: CompiledStep, options: PlanOptions): PlanFields {
  const { program, modelName: model, method, optimizer, config, pass, microBatches, slices } = step;
  return {
    model,
    method: method.text,
    saved: step.saved,
    optimizer: optimizer.name,
    batch: pass * microBatches,
    microBatches,
    slices,
    imageSize: config.imageSize,
    classes: config.classes,
    threads: options.threads,
    ...memoryReport(program, options.threads),
    ...parameterCounts(step.model),
    ranks: hasRanks(method) ? 'typical' : null,
    largest: largest(program).slice(0, TOP),
  };
}

interface LargeTensor {
  readonly name: string;
  readonly role: string;
  readonly bytes: number;
  /** First and last step at which it is live; null when it always is. */
  readonly live: string | null;
}

function largest(program: Program): readonly LargeTensor[] {
  const map = trainingTenants(program);
  return [...map.tenants]
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ name, role, bytes, first, last, always }) => ({
      name,
      role,
      bytes,
      live: always ? null : `${String(first)}–${String(last)}`,
    }));
}

function planLines(step: CompiledStep, fields: PlanFields): readonly string[] {
  const { microBatches, pass } = step;
  // A row that would say 0.0 % counts with the rest.
  const tables = 2000 * fields.tableBytes < fields.peakBytes ? 0 : fields.tableBytes;
  const rows: readonly (readonly [string, number])[] = [
    ['Weights', fields.weightBytes],
    ...(fields.bufferBytes > 0 ? [['Buffers', fields.bufferBytes] as const] : []),
    ...(tables > 0 ? [['Tables', tables] as const] : []),
    ['Optimiser state', fields.optimizerBytes],
    ...(fields.factorBytes > 0 ? [['Factors of activations', fields.factorBytes] as const] : []),
    ['Saved for the backward pass', fields.savedBytes],
    ['Transient and scratch', fields.transientBytes + fields.tableBytes - tables],
    ['Peak', fields.peakBytes],
  ];
  const share = (bytes: number) => `${((100 * bytes) / fields.peakBytes).toFixed(1)} %`;
  return [
    `${step.modelName}, ${step.method.text}, saved ${step.saved}, ${step.optimizer.name}, batch ` +
      `${String(pass * microBatches)}${cutText(step)}, ${String(step.config.imageSize)} px, ` +
      `${String(step.config.classes)} classes`,
    `${metric(fields.parameters)} parameters, ${metric(fields.trainable)} of them training, ` +
      `${metric(fields.flopsPerStep)}FLOP per step`,
    '',
    tableText(
      ['Memory', '>Bytes', '>Share'],
      rows.map(([name, bytes]) => [name, megabytes(bytes), share(bytes)]),
    ),
    '',
    tableText(
      ['Largest tensors', 'Role', '>Bytes', 'Live in steps'],
      largest(step.program)
        .slice(0, TOP)
        .map(({ name, role, bytes, live }) => [name, role, megabytes(bytes), live ?? 'all']),
    ),
    ...(fields.ranks === 'typical' ? ['', ...TYPICAL] : []),
  ];
}

async function writeChart(path: string, step: CompiledStep, options: PlanOptions): Promise<void> {
  const { modelName: model, method, optimizer, pass, microBatches, program } = step;
  const batch = String(pass * microBatches) + cutText(step);
  const title = `${model}, ${method.text}, ${optimizer.name}, batch ${batch}`;
  await replaceWithText(path, memoryChart(program, { title, threads: options.threads }));
}
