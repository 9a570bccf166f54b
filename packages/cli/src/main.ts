/**
 * The thimble command: reads the command line, runs one sub-command, ends with its exit code.
 *
 * Only the module of the sub-command that is named is loaded; all of them where none is: for help,
 * and for a name that nobody knows.
 */
import './small-heap.js';
import { returnFreedMemory } from '@thimble/native';
import { Command } from 'commander';
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

/** In the order of the help text. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  train: async () => (await import('./commands/train.js')).addTrain,
  eval: async () => (await import('./commands/eval.js')).addEval,
  predict: async () => (await import('./commands/predict.js')).addPredict,
  plan: async () => (await import('./commands/plan.js')).addPlan,
  ranks: async () => (await import('./commands/ranks.js')).addRanks,
  info: async () => (await import('./commands/info.js')).addInfo,
  merge: async () => (await import('./commands/merge.js')).addMerge,
  export: async () => (await import('./commands/export.js')).addExport,
  bench: async () => (await import('./commands/bench.js')).addBench,
  demo: async () => (await import('./commands/demo.js')).addDemo,
};

/** With the sub-command called `name`, or with all of them. */
async function commandLine(name: string | undefined): Promise<Command> {
  const program = new Command('thimble')
    .description(
      'Trains vision models on the device that holds the data, in memory that it can spare.',
    )
    .version(VERSION)
    .option('--debug', 'print the stack of an error')
    .addHelpText('after', HELP)
    .exitOverride()
    .showHelpAfterError(false);
  const known = name !== undefined && Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]] : null;
  for (const load of known ?? Object.values(COMMANDS)) (await load())(program);
  return program;
}

returnFreedMemory();

/** A reader that has seen enough (`thimble … | head`) is no failure. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  const name = process.argv.slice(2).find((argument) => !argument.startsWith('-'));
  await (await commandLine(name)).parseAsync();
} catch (error) {
  const style = { json: process.argv.includes('--json'), debug: process.argv.includes('--debug') };
  process.exitCode = reportFailure(error, style);
}
