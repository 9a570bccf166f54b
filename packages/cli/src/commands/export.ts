/** thimble export: a run as files that other libraries and runtimes load. */
import type { Command } from 'commander';
import { DTYPES, EXPORT_FORMATS } from '../export/formats.js';
import { EXPORT_DEFAULTS, exportModel, type ExportOptions } from '../library/export.js';
import { outputPath } from '../options/readers.js';
import {
  addExecutor,
  addHub,
  addJson,
  addPreprocess,
  type CommonOptions,
} from '../options/shared.js';
import { sayExported } from '../say/export.js';
import { Output } from '../terminal/output.js';
import { NOTHING_REPLACED, spoken } from './spoken.js';

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
    .option(
      '--format <names>',
      `one or more of ${Object.keys(EXPORT_FORMATS).join(', ')}`,
      EXPORT_DEFAULTS.format,
    )
    .option('--out <folder>', 'where to write (default: export in the run folder)', outputPath)
    .option('--best', 'of a run: weights of the best epoch instead of the last', false)
    .option('--dense', 'multiply factored weights out; else they stay factored', false)
    .option(
      '--dtype <name>',
      `of safetensors: ${Object.keys(DTYPES).join(', ')}`,
      EXPORT_DEFAULTS.dtype,
    )
    .option('--labels <file>', "names of the classes, one per line (default: the model's)")
    .option('--force', 'replace existing files', false)
    .option('--no-check', 'leave out running the ONNX files');
  addJson(addExecutor(addHub(addPreprocess(command))))
    .addHelpText('after', HELP)
    .action(async (run: string, options: Omit<ExportOptions, 'run'> & CommonOptions) => {
      const output = new Output(options.json);
      const asked = { ...options, run };
      const result = await spoken(output, (hooks) => exportModel(asked, hooks), NOTHING_REPLACED);
      sayExported(result, output);
    });
}
