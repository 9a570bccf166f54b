/** thimble resume: a run that was interrupted goes on as if it had not been. */
import type { Command } from 'commander';
import {
  chooseExecutor,
  EXECUTOR_NAMES,
  workersWithinCores,
  defaultThreads,
} from '../host/executors.js';
import { userCache } from '../data/image-cache.js';
import { MOST, wholeNumber } from '../options/readers.js';
import {
  addCache,
  addJson,
  addKeepEvery,
  addSaveEvery,
  addTime,
  addWorkers,
  type CacheOptions,
} from '../options/shared.js';
import { isRun } from '../run/saves.js';
import { readRunRecord } from '../run/folder.js';
import { Output } from '../terminal/output.js';
import { counted } from '../terminal/format.js';
import { inOneLine } from '../terminal/terminal.js';
import { sayEnd } from '../training/closing.js';
import { nextRun, TrainingFolder } from '../training/folder.js';
import { openSaved, resumedPlan, type ResumeOptions } from '../training/resuming.js';
import { runTraining } from '../training/training.js';

interface CommandOptions extends Omit<ResumeOptions, 'cache'>, CacheOptions {
  readonly executor?: string;
  readonly json: boolean;
}

const HELP = `
RUN is the folder of a run of thimble train, ended in whatever way: by Ctrl-C, a closed lid, an empty
battery, a full disk. It goes on behind the update that was saved last (at the end of each epoch, about
every five minutes within one, at Ctrl-C) and ends with the weights of a run that was never
interrupted, bit for bit, on the same executor; the number of threads does not matter.

Images that have gone or changed since are an error. With --epochs a run that is done goes on, too; the
learning rate then follows the curve of the longer run from there: of a run that was done it rises again,
without a warm-up. --time is so much training from now on.

Examples:
  thimble resume runs/photos-1
  thimble resume runs/photos-1 --epochs 20       longer than it was meant to be
  thimble resume runs/photos-1 --time 10m        ten minutes of it
  thimble resume runs/photos-1 --data /mnt/photos    the images lie elsewhere now
`;

export function addResume(program: Command): void {
  const command = program
    .command('resume')
    .summary('go on with a run that was interrupted')
    .description('Goes on with a training run from where it was saved last, to the same weights.')
    .argument('<RUN>', 'run folder')
    .option('--epochs <n>', 'of the whole run (default: as before)', wholeNumber(1, MOST.epochs))
    .option('--data <dir>', 'the folder that holds all images of the run, where it has moved')
    .option('--force', 'go on although images have gone or changed', false)
    .option('--executor <name>', `${EXECUTOR_NAMES.join(', ')} (default: as before)`)
    .option('--threads <n>', 'worker threads', wholeNumber(1, MOST.threads), defaultThreads());
  addJson(addCache(addWorkers(addSaveEvery(addKeepEvery(addTime(command))))))
    .addHelpText('after', HELP)
    .action(async (run: string, options: CommandOptions) => {
      await resumeCommand(run, options);
    });
}

async function resumeCommand(run: string, asked: CommandOptions): Promise<void> {
  const output = new Output(asked.json);
  const note = (text: string) => {
    output.note(text);
  };
  const workers = workersWithinCores(asked.workers, note);
  const options = { ...asked, workers, cache: userCache(asked.cache, process.env) };
  if (!isRun(run) && !isRun(nextRun(run))) readRunRecord(run); // says what is there instead
  const folder = TrainingFolder.resume(run);
  try {
    const saved = openSaved(folder);
    try {
      const { record, state } = saved;
      const kind = await chooseExecutor(options.executor ?? record.executor.name, note);
      const plan = resumedPlan(folder, saved, kind, options, note);
      const { epoch, step, isEpochDone } = state.progress;
      const { epochs } = plan.settings;
      if (record.status === 'done' && isEpochDone && epoch >= epochs) {
        const { history } = record;
        output.event('done', { run, steps: step, epochs: history.length });
        output.line(`All ${counted(epochs, 'epoch')} are done; --epochs N trains longer`);
        return;
      }
      output.event('resumed', { run, epoch, step });
      output.line(`Resuming   ${inOneLine(run)} behind ${counted(step, 'update')}`);
      sayEnd(await runTraining(plan, output), output);
    } finally {
      saved.close();
    }
  } finally {
    folder.close();
  }
}
