/** export: a run as files that other libraries and runtimes load. */
import { checkNumbers } from './limits.js';
import { ConfigError, elements } from '@thimble/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  Caller,
  type Hooks,
  type NoteEvent,
  type WritingEvent,
  type WrittenEvent,
} from '../events/caller.js';
import { Checker, type Agreement } from '../export/check.js';
import {
  dtypeOf,
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
import type { DownloadEvent } from '../hub/progress.js';
import { isRun } from '../run/saves.js';
import type { HubOptions, PreprocessOptions } from '../source/options.js';
import { accessOf } from '../source/start.js';
import { executorFor, threadsFor, type ExecutorOptions } from './work.js';

export interface ExportOptions extends ExecutorOptions, HubOptions, PreprocessOptions {
  /** A run folder; also weights: a file, a folder, `owner/name` on the hub. */
  readonly run: string;
  /** One or more of onnx, onnx-fp16, onnx-int8, safetensors, hf, joined by commas; default `onnx`. */
  readonly format?: string;
  /** The folder to write to; default: `export` in the run folder. */
  readonly out?: string;
  /** Of a run: weights of the best epoch instead of the last; default: off. */
  readonly best?: boolean;
  /** Multiplies factored weights out; default: off, they stay factored. */
  readonly dense?: boolean;
  /** Of safetensors: `f32` (default) or `f16`. */
  readonly dtype?: string;
  /** A file with the names of the classes, one per line; default: the model's. */
  readonly labels?: string;
  /** Replaces existing files; default: off. */
  readonly force?: boolean;
  /** Runs the ONNX files beside Thimble where onnxruntime-node is installed; default: on. */
  readonly check?: boolean;
}

export const EXPORT_DEFAULTS = {
  format: 'onnx',
  best: false,
  dense: false,
  dtype: 'f32',
  force: false,
  check: true,
} as const satisfies Partial<ExportOptions>;

type Keys = keyof typeof EXPORT_DEFAULTS | 'threads';
type Settled = Omit<ExportOptions, Keys> & Required<Pick<ExportOptions, Keys>>;

/** What happens while files are exported. */
export type ExportingEvent = NoteEvent | DownloadEvent | WritingEvent | WrittenEvent;

/** A file that was written. */
export interface ExportedFile {
  readonly format: string;
  /** In the folder. */
  readonly file: string;
  readonly bytes: number;
  /** Of the bytes that the dense weights take in float32. */
  readonly ofFloat32: number;
  /** With the answers of Thimble; null where it is no ONNX file, or was not checked. */
  readonly agreement: Agreement | null;
  /** Of one image in onnxruntime, median of rounds; null likewise. */
  readonly latencyMs: number | null;
}

/** The files that were written, and what is known of them. */
export interface ExportResult {
  readonly out: string;
  readonly files: readonly ExportedFile[];
  readonly classes: number;
  /** Whether weights are in factored form. */
  readonly isFactored: boolean;
  /** How preprocessor_config.json prepares the test pictures; null where nothing was exported of it. */
  readonly pictures: ExportedPictures | null;
  /** What the files were compared with; null where they were not. */
  readonly checkedWith: { readonly executor: string; readonly latencyMs: number | null } | null;
  /** Why nothing could be compared; null where it was, or was not to be. */
  readonly notChecked: string | null;
  readonly threads: number;
}

/** Test pictures as preprocessor_config.json prepares them, beside the model's own way. */
export interface ExportedPictures {
  readonly tried: number;
  /** Pictures that are cut a pixel aside. */
  readonly aside: number;
  /** Our answers for them; null where there is no other way, or nothing was compared. */
  readonly agreement: Agreement | null;
}

/**
 * Writes the model of a run as files that other libraries load. A float32 ONNX file whose answers differ from
 * Thimble's is not kept. Throws ConfigError for formats that do not exist or files in the way, FileError, and the
 * reason of an aborted signal; nothing is replaced then.
 */
export async function exportModel(
  options: ExportOptions,
  hooks: Hooks<ExportingEvent> = {},
): Promise<ExportResult> {
  checkNumbers(options);
  const caller = new Caller(hooks);
  const settled = { ...EXPORT_DEFAULTS, ...options, threads: threadsFor(options) };
  const { run, best } = settled;
  const formats = formatsOf(settled.format);
  const dtype = dtypeOf(settled.dtype, [...formats.values()]);
  const folder = outFolder(run, settled.out);
  const model = await openExported(run, settled, accessOf(options, caller, best));
  let isWriting = true;
  const written = () => {
    if (isWriting) caller.tell({ event: 'written' });
    isWriting = false;
  };
  caller.tell({ event: 'writing' });
  try {
    return await exported({ model, formats, dtype, folder }, settled, caller, written);
  } finally {
    model.close();
    written();
  }
}

interface ExportPlan {
  readonly model: ExportedModel;
  readonly formats: ReadonlyMap<string, ExportFormat>;
  readonly dtype: DtypeName;
  readonly folder: string;
}

/** @param written called when there is nothing to remove any more */
async function exported(
  { model, formats, dtype, folder }: ExportPlan,
  options: Settled,
  caller: Caller<never>,
  written: () => void,
): Promise<ExportResult> {
  const { signal } = caller;
  const staging = new Staging(folder);
  let checker: Checker | string | null = null;
  try {
    const texts = sidecars(model, [...formats.values()], dtype);
    checkNew(folder, formats, texts, options.force);
    const places = new Map<string, string>();
    for (const [name, text] of texts) {
      const { path } = await staging.write(name, [Buffer.from(text)], signal);
      places.set(name, path);
    }
    const pictures = await preparationOf(model.preprocess, places.get(PREPROCESSOR) ?? null);
    checker = await openChecker(model, pictures, options, formats, caller);
    const prepared = checker instanceof Checker ? await checker.prepared() : null;
    const context = { model, dtype, staging, checker, signal, pictures, prepared };
    const files: Written[] = [];
    for (const [name, format] of formats) files.push(await exportFile(name, format, context));
    staging.commit();
    written();
    return await resultOf(files, folder, context, options.threads);
  } finally {
    staging.discard();
    if (checker instanceof Checker) await checker.close();
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
  options: Settled,
  formats: ReadonlyMap<string, ExportFormat>,
  caller: Caller<never>,
): Promise<Checker | string | null> {
  if (!options.check || [...formats.values()].every(({ onnx }) => onnx === null)) return null;
  const runtime = await findRuntime();
  if (typeof runtime === 'string') return runtime;
  const kind = await executorFor(options, caller);
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

type Written = Omit<ExportedFile, 'ofFloat32' | 'latencyMs'>;

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

async function resultOf(
  written: readonly Written[],
  folder: string,
  { checker, model, pictures, prepared }: ExportContext,
  threads: number,
): Promise<ExportResult> {
  const isChecked = checker instanceof Checker;
  const times = isChecked ? await checker.latencies() : new Map<string, number>();
  const dense = denseBytes(model);
  const { count: tried, aside } = pictures;
  return {
    out: folder,
    files: written.map((file) => ({
      ...file,
      ofFloat32: file.bytes / dense,
      latencyMs: times.get(file.format) ?? null,
    })),
    classes: model.labels.length,
    isFactored: model.isFactored,
    pictures: pictures.exported === null ? null : { tried, aside, agreement: prepared },
    checkedWith: isChecked
      ? { executor: checker.executor, latencyMs: times.get('') ?? null }
      : null,
    notChecked: typeof checker === 'string' ? checker : null,
    threads,
  };
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
