/** thimble merge: a factored run's weights as the dense ones that they stand for. */
import {
  buildModel,
  checkedClassNames,
  checkedLogits,
  compile,
  ConfigError,
  linears,
  loadWeights,
  matchWeights,
  megabytes,
  mergedWeights,
  parseMethod,
  PLAIN_METHOD,
  predictLogits,
  Random,
  safetensorsData,
  safetensorsPrefix,
  TrainingError,
  type BoundMethod,
  type ExecutorKind,
  type MergedTensor,
  type ModelBuilder,
  type ModelGraph,
  type TensorShape,
} from '@thimble/core';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { checkpointMetadata, openCheckpoint, STORED } from '../weights/checkpoint.js';
import { chooseExecutor } from '../host/executors.js';
import { Staging } from '../export/staging.js';
import { counted } from '../terminal/format.js';
import { onInterrupt } from '../host/interrupt.js';
import { outputPath } from '../options/readers.js';
import { Output } from '../terminal/output.js';
import { openRun } from '../run/open.js';
import type { RunRecord } from '../run/record.js';
import {
  addExecutor,
  addJson,
  type CommonOptions,
  type ExecutorOptions,
} from '../options/shared.js';

interface MergeOptions extends CommonOptions, ExecutorOptions {
  readonly out?: string;
  readonly best: boolean;
  readonly force: boolean;
}

/** Images of noise on which both forms have to agree. */
const CHECKED = 4;
/** Share of the largest logit by which they may differ: float32 sums in another order. */
const TOLERANCE = 1e-3;

const HELP = `
Writes L R for each low-rank weight and W + (alpha / rank) B A for each weight with an adapter, one
tensor at a time, and compares the logits of both forms on noise. The file loads with --init under
--method full, and wherever timm's names are read.

Examples:
  thimble merge runs/photos-1
  thimble merge runs/photos-1 --best --out flowers.safetensors
`;

export function addMerge(program: Command): void {
  const command = program
    .command('merge')
    .summary('write the dense weights of a factored run')
    .description('Writes the dense weights that the factors of a run stand for.')
    .argument('<RUN>', 'run folder of thimble train')
    .option('--out <file>', 'where to write (default: merged.safetensors in RUN)', outputPath)
    .option('--best', 'weights of the best epoch instead of the last', false)
    .option('--force', 'replace an existing file', false);
  addJson(addExecutor(command))
    .addHelpText('after', HELP)
    .action(async (run: string, options: MergeOptions) => {
      await mergeCommand(run, options);
    });
}

async function mergeCommand(run: string, options: MergeOptions): Promise<void> {
  const output = new Output(options.json);
  const { record, path, checkpoint, method, model } = openRun(run, options.best);
  checkpoint.close();
  const out = options.out ?? join(run, 'merged.safetensors');
  const build: ModelBuilder = (batch, mode) => buildModel(record.model.config, { batch, mode });
  const factored = linears(model, 'all').filter(({ form }) => form.kind !== 'dense');
  if (factored.length === 0) throw alreadyDense(run, record, path);
  checkNew(out, options.force);
  const kind = await chooseExecutor(options.executor, (text) => {
    output.note(text);
  });
  const interrupt = onInterrupt('stopping, nothing is replaced', (text) => {
    output.note(text);
  });
  const staging = new Staging(dirname(out));
  try {
    const merged = await writeMerged(path, { staging, out, model, record }, interrupt.signal);
    const forms = { build, method, kind, record, options };
    const difference = await compareForms(forms, path, merged.path);
    interrupt.signal.throwIfAborted();
    staging.commit();
    output.event('done', { out, bytes: merged.bytes, merged: factored.length, ...difference });
    const weights = counted(factored.length, 'weight');
    output.line(`Merged ${weights} into ${out}, ${megabytes(merged.bytes)}`);
    output.line(
      `Logits on noise: max |Δ| ${difference.maxDifference.toExponential(1)} of at most ` +
        difference.maxLogit.toFixed(2),
    );
  } finally {
    staging.discard();
    interrupt.dispose();
  }
}

interface Merging {
  readonly staging: Staging;
  readonly out: string;
  readonly model: ModelGraph;
  readonly record: RunRecord;
}

/** Writes the file beside its place: where it is, and its bytes. */
async function writeMerged(
  from: string,
  { staging, out, model, record }: Merging,
  signal: AbortSignal,
): Promise<{ readonly path: string; readonly bytes: number }> {
  const checkpoint = openCheckpoint(from);
  try {
    const { contents } = matchWeights(model, checkpoint, record.seed);
    const tensors = mergedWeights(model, contents).map((tensor) => ({
      ...tensor,
      dtype: STORED[tensor.dtype],
    }));
    const { model: named, classes, preprocess } = record;
    checkedClassNames(classes, from, 'Export the run instead, with --labels');
    const metadata = checkpointMetadata(named, classes, preprocess);
    const { prefix, ordered } = safetensorsPrefix(tensors, metadata);
    const parts = function* () {
      yield prefix;
      for (const tensor of ordered) yield bytesOf(tensor);
    };
    return await staging.write(basename(out), parts(), signal);
  } finally {
    checkpoint.close();
  }
}

function bytesOf({ read, ...tensor }: TensorShape & Pick<MergedTensor, 'read'>): Uint8Array {
  return safetensorsData({ ...tensor, data: read() });
}

interface Forms {
  readonly build: ModelBuilder;
  readonly method: BoundMethod;
  readonly kind: ExecutorKind;
  readonly record: RunRecord;
  readonly options: MergeOptions;
}

/** Throws TrainingError when the two files do not give the same logits. */
async function compareForms(
  forms: Forms,
  factored: string,
  merged: string,
): Promise<{ readonly maxDifference: number; readonly maxLogit: number }> {
  const before = await logitsOf(forms, forms.method, factored);
  const after = await logitsOf(forms, parseMethod(PLAIN_METHOD), merged);
  const most = (values: readonly number[]) =>
    values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
  const maxLogit = most(before);
  const maxDifference = most(before.map((logit, index) => logit - after[index]));
  if (maxDifference <= TOLERANCE * Math.max(1, maxLogit)) return { maxDifference, maxLogit };
  throw new TrainingError({
    where: 'logits of the merged model',
    expected: `those of ${factored} within ${String(TOLERANCE)} of ${maxLogit.toFixed(2)}`,
    got: `a difference of ${String(maxDifference)}`,
    todo: 'Report this as a bug; nothing was written',
  });
}

async function logitsOf(
  { build, kind, record, options }: Forms,
  method: BoundMethod,
  path: string,
): Promise<readonly number[]> {
  const program = compile({ model: build, method, batch: CHECKED });
  const executor = await kind.load(program, { threads: options.threads });
  const checkpoint = openCheckpoint(path);
  try {
    loadWeights(executor, method.forward(build(1, 'eval')), checkpoint, record.seed);
    const { imageSize } = record.model.config;
    const noise = new Float32Array(CHECKED * 3 * imageSize * imageSize);
    const random = Random.of(record.seed, 'merge');
    for (let i = 0; i < noise.length; i++) noise[i] = random.normal();
    return Array.from(checkedLogits(await predictLogits(executor, noise), `${path} on noise`));
  } finally {
    checkpoint.close();
    await executor.dispose();
  }
}

function alreadyDense(run: string, record: RunRecord, path: string): ConfigError {
  return new ConfigError({
    where: run,
    expected: 'a run with factored weights (wasi, wsi or lora)',
    got: `method ${record.method}`,
    todo: `Use ${path}: its weights are dense`,
  });
}

function checkNew(path: string, force: boolean): void {
  if (force || !existsSync(path)) return;
  throw new ConfigError({
    where: `--out ${path}`,
    expected: 'a new file',
    got: 'an existing one',
    todo: 'Choose another path, or --force to replace it',
  });
}
