/** thimble merge: a factored run's weights as the dense ones that they stand for. */
import { megabytes } from '@thimble/core';
import type { Command } from 'commander';
import { merge, type MergeOptions } from '../library/merge.js';
import { outputPath } from '../options/readers.js';
import { addExecutor, addJson, type CommonOptions } from '../options/shared.js';
import { counted } from '../terminal/format.js';
import { Output } from '../terminal/output.js';
import { NOTHING_REPLACED, spoken } from './spoken.js';

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
    .action(async (run: string, options: Omit<MergeOptions, 'run'> & CommonOptions) => {
      await mergeCommand({ ...options, run });
    });
}

async function mergeCommand(options: MergeOptions & CommonOptions): Promise<void> {
  const output = new Output(options.json);
  const result = await spoken(output, (hooks) => merge(options, hooks), NOTHING_REPLACED);
  const { out, bytes, merged, maxDifference, maxLogit } = result;
  output.event('done', { ...result });
  output.line(`Merged ${counted(merged, 'weight')} into ${out}, ${megabytes(bytes)}`);
  output.line(
    `Logits on noise: max |Δ| ${maxDifference.toExponential(1)} of at most ${maxLogit.toFixed(2)}`,
  );
}
