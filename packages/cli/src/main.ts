/** The thimble command: reads the command line, runs one sub-command, ends with its exit code. */
import './small-heap.js';
import { returnFreedMemory } from '@thimble/native';
import { Command } from 'commander';
import { addBench } from './commands/bench.js';
import { addDemo } from './commands/demo.js';
import { addEval } from './commands/eval.js';
import { addExport } from './commands/export.js';
import { addInfo } from './commands/info.js';
import { addMerge } from './commands/merge.js';
import { addPlan } from './commands/plan.js';
import { addPredict } from './commands/predict.js';
import { addRanks } from './commands/ranks.js';
import { addTrain } from './commands/train.js';
import { reportFailure } from './failure.js';
import { VERSION } from './version.js';

const HELP = `
Examples:
  thimble demo                                    train on drawn shapes, no download
  thimble train photos --init vit.safetensors     one sub-folder of photos per class
  thimble predict runs/photos-1 new.jpg
  thimble export runs/photos-1                    ONNX files, checked against the run
  thimble plan vit-tiny-16 --batch 8 --svg memory.svg

Exit codes: 0 done, 1 failed, 2 wrong command line, 130 interrupted.`;

function commandLine(): Command {
  const program = new Command('thimble')
    .description(
      'Trains vision models on the device that holds the data, in memory that it can spare.',
    )
    .version(VERSION)
    .option('--debug', 'print the stack of an error')
    .addHelpText('after', HELP)
    .exitOverride()
    .showHelpAfterError(false);
  addTrain(program);
  addEval(program);
  addPredict(program);
  addPlan(program);
  addRanks(program);
  addInfo(program);
  addMerge(program);
  addExport(program);
  addBench(program);
  addDemo(program);
  return program;
}

returnFreedMemory();

/** A reader that has seen enough (`thimble … | head`) is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  await commandLine().parseAsync();
} catch (error) {
  const style = { json: process.argv.includes('--json'), debug: process.argv.includes('--debug') };
  process.exitCode = reportFailure(error, style);
}
