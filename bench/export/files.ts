/** Exports of one run, made by the command as users make them. */
import { readSafetensors } from '@thimble/core';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** This file runs as bench/dist/export/files.js. */
const command = fileURLToPath(new URL('../../../packages/cli/dist/main.js', import.meta.url));

const FORMATS = 'onnx,onnx-fp16,onnx-int8';

/** One ONNX file of a run. */
export interface ExportedFile {
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  /** Bytes as a share of the dense weights in float32. */
  readonly ofFloat32: number;
}

export interface ExportedRun {
  /** Safetensors with configuration, classes, preprocessing and ranks in their metadata. */
  readonly weights: string;
  readonly files: readonly ExportedFile[];
}

/** Every ONNX form of a run; of a factored one also the dense ones. */
export async function exportRun(run: string, folder: string): Promise<ExportedRun> {
  const own = await exportTo(run, join(folder, 'own'), ['--format', `${FORMATS},safetensors`]);
  const weights = join(folder, 'own', 'thimble.safetensors');
  const { metadata } = readSafetensors(readFileSync(weights));
  const files = own.filter(({ path }) => path.endsWith('.onnx'));
  if (!metadata.has('thimble.factors')) return { weights, files };
  const dense = await exportTo(run, join(folder, 'dense'), ['--format', FORMATS, '--dense']);
  return {
    weights,
    files: [...files, ...dense.map((file) => ({ ...file, name: `${file.name}, dense` }))],
  };
}

async function exportTo(
  run: string,
  out: string,
  settings: readonly string[],
): Promise<readonly ExportedFile[]> {
  const args = [command, 'export', run, '--out', out, ...settings, '--no-check', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line))
    .filter(isFile)
    .map(({ format, file, bytes, ofFloat32 }) => {
      return { name: format, path: join(out, file), bytes, ofFloat32 };
    });
}

interface FileEvent {
  readonly format: string;
  readonly file: string;
  readonly bytes: number;
  readonly ofFloat32: number;
}

function isFile(line: unknown): line is FileEvent {
  return typeof line === 'object' && line !== null && 'event' in line && line.event === 'file';
}
