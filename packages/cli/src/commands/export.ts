/** thimble export: a run as files that other libraries and runtimes load. */
import { ConfigError, elements, megabytes } from '@thimble/core';
import type { Command } from 'commander';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chooseExecutor } from '../host/executors.js';
import { Checker, type Agreement } from '../export/check.js';
import {
  dtypeOf,
  DTYPES,
  EXPORT_FORMATS,
  formatsOf,
  PREPROCESSOR,
  sidecars,
  type DtypeName,
  type ExportFormat,
} from '../export/formats.js';
import { openExported, type ExportedModel } from '../export/model.js';
import { preparationOf, type ExportedPreprocessing } from '../export/preparation.js';
import { findRuntime } from '../export/runtime.js';
import { Staging } from '../export/staging.js';
import { readText } from '../host/files.js';
import { counted, milliseconds, percent } from '../terminal/format.js';
import { onInterrupt } from '../host/interrupt.js';
import { outputPath } from '../options/readers.js';
import { Output } from '../terminal/output.js';
import { isRun } from '../run/saves.js';
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
import { tableText } from '../terminal/table.js';

interface ExportOptions extends CommonOptions, ExecutorOptions, HubOptions, PreprocessOptions {
  readonly format: string;
  readonly out?: string;
  readonly best: boolean;
  readonly dense: boolean;
  readonly dtype: string;
  readonly labels?: string;
  readonly force: boolean;
  readonly check: boolean;
}

const HELP = `
Formats:
${Object.entries(EXPORT_FORMATS)
  .map(([name, { summary, file }]) => `  ${name.padEnd(12)} ${file.padEnd(26)} ${summary}`)
  .join('\n')}

The folder is laid out as models on the Hugging Face hub are, with config.json,
preprocessor_config.json and labels.txt: transformers.js takes it as it is, by default onnx in Node
and onnx-int8 in browsers (its dtypes fp32 and q8). Each ONNX file is run beside Thimble where
onnxruntime-node is installed; a float32 file that differs is not kept. Where
preprocessor_config.json cannot say how this model's pictures are cropped, the last lines do.

Examples:
  thimble export runs/photos-1
  thimble export runs/photos-1 --format onnx,onnx-int8 --best --out flowers
  thimble export runs/photos-1 --format hf --dtype f16
`;

export function addExport(program: Command): void {
  const command = program
    .command('export')
    .summary('write a run as ONNX or for transformers')
    .description('Writes the model of a run as files that other libraries and runtimes load.')
    .argument(
      '<RUN>',
      'run folder of thimble train; also weights: a file, a folder, owner/name on the hub',
    )
    .option('--format <names>', `one or more of ${Object.keys(EXPORT_FORMATS).join(', ')}`, 'onnx')
    .option('--out <folder>', 'where to write (default: export in the run folder)', outputPath)
    .option('--best', 'of a run: weights of the best epoch instead of the last', false)
    .option('--dense', 'multiply factored weights out; else they stay factored', false)
    .option('--dtype <name>', `of safetensors: ${Object.keys(DTYPES).join(', ')}`, 'f32')
    .option('--labels <file>', "names of the classes, one per line (default: the model's)")
    .option('--force', 'replace existing files', false)
    .option('--no-check', 'leave out running the ONNX files');
  addJson(addExecutor(addHub(addPreprocess(command))))
    .addHelpText('after', HELP)
    .action(async (run: string, options: ExportOptions) => {
      await exportCommand(run, options);
    });
}

async function exportCommand(run: string, options: ExportOptions): Promise<void> {
  const output = new Output(options.json);
  const formats = formatsOf(options.format);
  const dtype = dtypeOf(options.dtype, [...formats.values()]);
  const folder = outFolder(run, options.out);
  const { revision, offline, best } = options;
  const access = { output, best, offline, ...(revision === undefined ? {} : { revision }) };
  const model = await openExported(run, options, access);
  const interrupt = onInterrupt('stopping, nothing is replaced', (text) => {
    output.note(text);
  });
  const staging = new Staging(folder);
  let checker: Checker | string | null = null;
  try {
    const texts = sidecars(model, [...formats.values()], dtype);
    checkNew(folder, formats, texts, options.force);
    const places = new Map<string, string>();
    for (const [name, text] of texts) {
      const { path } = await staging.write(name, [Buffer.from(text)], interrupt.signal);
      places.set(name, path);
    }
    const pictures = await preparationOf(model.preprocess, places.get(PREPROCESSOR) ?? null);
    checker = await openChecker(model, pictures, options, formats, output);
    const prepared = checker instanceof Checker ? await checker.prepared() : null;
    const files = { model, dtype, staging, checker, signal: interrupt.signal };
    const context: ExportContext = { ...files, pictures, prepared };
    const written: Written[] = [];
    for (const [name, format] of formats) written.push(await exportFile(name, format, context));
    staging.commit();
    interrupt.dispose(); // from now on there is nothing to remove
    await report(written, folder, context, options, output);
  } finally {
    staging.discard();
    if (checker instanceof Checker) await checker.close();
    model.close();
    interrupt.dispose();
  }
}

function outFolder(run: string, out: string | undefined): string {
  if (out !== undefined) return out;
  if (isRun(run)) return join(run, 'export');
  throw new ConfigError({
    where: '--out',
    expected: `a folder for the files, since ${run} is no run`,
    got: 'none',
    todo: 'Pass --out FOLDER',
  });
}

/** What compares the files with the run; a text where nothing can, null where nothing is to be. */
async function openChecker(
  model: ExportedModel,
  pictures: ExportedPreprocessing,
  options: ExportOptions,
  formats: ReadonlyMap<string, ExportFormat>,
  output: Output,
): Promise<Checker | string | null> {
  if (!options.check || [...formats.values()].every(({ onnx }) => onnx === null)) return null;
  const runtime = await findRuntime();
  if (typeof runtime === 'string') return runtime;
  const kind = await chooseExecutor(options.executor, (text) => {
    output.note(text);
  });
  return Checker.open(kind, runtime, model, pictures, options.threads);
}

/** What all files of one export share. */
interface ExportContext {
  readonly model: ExportedModel;
  readonly dtype: DtypeName;
  readonly staging: Staging;
  readonly pictures: ExportedPreprocessing;
  /** Our answers for pictures as preprocessor_config.json prepares them, where that is another way. */
  readonly prepared: Agreement | null;
  readonly checker: Checker | string | null;
  readonly signal: AbortSignal;
}

interface Written {
  readonly format: string;
  readonly file: string;
  readonly bytes: number;
  /** null: not an ONNX file, or not checked. */
  readonly agreement: Agreement | null;
}

/** Writes one file beside its place, and checks it there. */
async function exportFile(
  name: string,
  format: ExportFormat,
  context: ExportContext,
): Promise<Written> {
  const { model, dtype, staging, checker, signal } = context;
  const { file, onnx } = format;
  const { path, bytes } = await staging.write(file, format.parts(model, dtype), signal);
  const compared = onnx !== null && checker instanceof Checker ? checker : null;
  const agreement = compared ? await compared.compare(name, path, onnx === 'onnx') : null;
  signal.throwIfAborted();
  return { format: name, file, bytes, agreement };
}

async function report(
  written: readonly Written[],
  folder: string,
  context: ExportContext,
  options: ExportOptions,
  output: Output,
): Promise<void> {
  const { checker, model } = context;
  const isChecked = checker instanceof Checker;
  const times = isChecked ? await checker.latencies() : new Map<string, number>();
  const dense = denseBytes(model);
  const unchecked = typeof checker === 'string' ? checker : null;
  for (const { agreement, ...file } of written) {
    const latencyMs = times.get(file.format) ?? null;
    output.event('file', { ...file, ofFloat32: file.bytes / dense, ...agreement, latencyMs });
  }
  output.event('done', {
    out: folder,
    files: written.length,
    classes: model.labels.length,
    factored: model.isFactored,
    pictures: pictureRecord(context),
    ...(isChecked && { executor: checker.executor, latencyMs: times.get('') ?? null }),
    threads: options.threads,
    notChecked: unchecked,
  });
  output.line(`Exported ${counted(written.length, 'file')} to ${folder}`);
  output.line();
  output.line(tableOf(written, times, dense));
  output.line();
  if (isChecked) {
    const threads = counted(options.threads, 'thread');
    const ours = milliseconds(times.get('') ?? NaN);
    output.line(
      `Time for one image: median of rounds, ${threads}; Thimble, ${checker.executor}: ${ours}`,
    );
  }
  if (unchecked !== null) output.line(`Not checked: ${unchecked}.`);
  for (const line of pictureLines(context)) output.line(line);
}

/** What preprocessor_config.json makes of the test pictures: for programs. */
function pictureRecord({
  pictures,
  prepared,
}: ExportContext): Readonly<Record<string, unknown>> | null {
  const { count, aside, exported } = pictures;
  return exported === null ? null : { tried: count, aside, ...prepared };
}

/** The same for people, where it is not the model's own way. */
function pictureLines({ pictures, prepared }: ExportContext): readonly string[] {
  const { count, aside } = pictures;
  if (aside === 0) return [];
  const change = prepared
    ? ` (max |Δlogit| ${prepared.maxDifference.toExponential(1)}, the same class for ` +
      `${String(prepared.agreeing)} of ${String(count)})`
    : '';
  return [
    '',
    `${PREPROCESSOR} cuts ${String(aside)} of ${String(count)} test pictures a pixel aside${change}.`,
    'It has no word for how half a pixel is rounded: its readers round down, this model to the even',
    'side. What thimble train makes now rounds down too.',
  ];
}

function tableOf(
  written: readonly Written[],
  times: ReadonlyMap<string, number>,
  dense: number,
): string {
  const head = [
    'Format',
    'File',
    '>Size',
    '>of fp32',
    '>max |Δlogit|',
    '>Same class',
    '>One image',
  ];
  const rows = written.map(({ format, file, bytes, agreement }) => {
    const share = percent(bytes / dense);
    const time = times.get(format);
    return [
      ...[format, file, megabytes(bytes), share],
      agreement ? agreement.maxDifference.toExponential(1) : '',
      agreement ? `${String(agreement.agreeing)} of ${String(agreement.images)}` : '',
      time === undefined ? '' : milliseconds(time),
    ];
  });
  return tableText(head, rows);
}

/** Bytes of the dense weights in float32. */
function denseBytes({ dense }: ExportedModel): number {
  return [...dense.shapes.values()].reduce((sum, shape) => sum + 4 * elements(shape), 0);
}

/** Throws ConfigError where a file would be replaced by another. */
function checkNew(
  folder: string,
  formats: ReadonlyMap<string, ExportFormat>,
  texts: ReadonlyMap<string, string>,
  force: boolean,
): void {
  if (force) return;
  const files = [...formats.values()].map(({ file }) => file);
  const inTheWay = files.find((file) => existsSync(join(folder, file)));
  const other = [...texts].find(([name, text]) => holdsOther(join(folder, name), text))?.[0];
  const found = inTheWay ?? other;
  if (found === undefined) return;
  throw new ConfigError({
    where: `--out ${folder}`,
    expected: 'a folder without an earlier export of this format, or of another run',
    got: `one with ${found}`,
    todo: 'Choose another folder, or --force to replace the files',
  });
}

function holdsOther(path: string, text: string): boolean {
  return existsSync(path) && readText(path, 'a file of an export') !== text;
}
