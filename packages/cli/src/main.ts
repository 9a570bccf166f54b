/**
 * The thimble command: reads the command line, runs one sub-command, ends with its exit code.
 *
 * Only the module of the sub-command that is named is loaded; all of them where none is: for help,
 * and for a name that nobody knows.
 */
import './process/small-heap.js';
import { returnFreedMemory } from '@thimble/native';
import { Command } from 'commander';
import { EXIT, reportFailure, reportLoss } from './process/failure.js';
import { watchStreams, watchTerminals, writeError, writeOut } from './terminal/streams.js';
import { visible } from './terminal/terminal.js';
import { VERSION } from './host/version.js';

const HELP = `
Examples:
  thimble demo                                    train on drawn shapes, no download
  thimble train photos --init vit.safetensors     one sub-folder of photos per class
  thimble predict runs/photos-1 new.jpg
  thimble export runs/photos-1                    ONNX files, checked against the run
  thimble plan vit-tiny-16 --batch 8 --svg memory.svg

Exit codes: 0 done, 1 failed, 2 wrong command line; 130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP
(train, resume and demo save their weights first; a second signal ends them at once); 141 nobody
reads the output any more (train, resume, forget, export, merge and demo go on without a reader: they make files).`;

interface SubCommand {
  readonly load: () => Promise<(program: Command) => void>;
  /** Its result is files; that of the others is what they print. */
  readonly makesFiles: boolean;
}

const files = (load: SubCommand['load']): SubCommand => ({ load, makesFiles: true });
const text = (load: SubCommand['load']): SubCommand => ({ load, makesFiles: false });

/** In the order of the help text. */
const COMMANDS: Readonly<Record<string, SubCommand>> = {
  train: files(async () => (await import('./commands/train.js')).addTrain),
  resume: files(async () => (await import('./commands/resume.js')).addResume),
  eval: text(async () => (await import('./commands/eval.js')).addEval),
  predict: text(async () => (await import('./commands/predict.js')).addPredict),
  plan: text(async () => (await import('./commands/plan.js')).addPlan),
  ranks: text(async () => (await import('./commands/ranks.js')).addRanks),
  info: text(async () => (await import('./commands/info.js')).addInfo),
  forget: files(async () => (await import('./commands/forget.js')).addForget),
  merge: files(async () => (await import('./commands/merge.js')).addMerge),
  export: files(async () => (await import('./commands/export.js')).addExport),
  bench: text(async () => (await import('./commands/bench.js')).addBench),
  demo: files(async () => (await import('./commands/demo.js')).addDemo),
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
    .configureOutput({
      writeOut: (text) => writeOut(visible(text)),
      writeErr: (text) => writeError(visible(text)),
    })
    .exitOverride()
    .showHelpAfterError(false);
  const known = name !== undefined && Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]] : null;
  for (const { load } of known ?? Object.values(COMMANDS)) (await load())(program);
  return program;
}

async function main(args: readonly string[]): Promise<void> {
  const style = { json: args.includes('--json'), debug: args.includes('--debug') };
  const isHungUp = watchTerminals();
  const end = (code: number) => {
    if (isHungUp()) process.kill(process.pid, 'SIGHUP');
    else process.exit(code);
  };
  let makesFiles = false; // help and errors are text whatever the command
  watchStreams((loss) => {
    const code = reportLoss(loss, makesFiles);
    if (code !== null) end(code);
  });
  process.on('uncaughtException', (error) => {
    end(reportFailure(error, style));
  });
  try {
    const program = await commandLine(args.find((argument) => !argument.startsWith('-')));
    program.hook('preAction', (_, action) => {
      ({ makesFiles } = COMMANDS[action.name()]);
    });
    await program.parseAsync();
  } catch (error) {
    process.exitCode = reportFailure(error, style);
  }
  if (isHungUp()) end(EXIT.failed);
}

returnFreedMemory();
await main(process.argv.slice(2));
