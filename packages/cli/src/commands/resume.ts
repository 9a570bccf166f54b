/** thimble resume: a run that was interrupted goes on as if it had not been. */
import type { Command } from 'commander';
import { defaultThreads, EXECUTOR_NAMES } from '../host/executors.js';
import { resume, type ResumeOptions } from '../library/resume.js';
import { numberFor } from '../options/readers.js';
import {
  addCache,
  addJson,
  addKeepEvery,
  addSaveEvery,
  addTime,
  addWorkers,
  type CommonOptions,
} from '../options/shared.js';
import { sayEnd, sayNothingToDo } from '../say/closing.js';
import { Output } from '../terminal/output.js';
import { spoken, STOPPING } from './spoken.js';

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
    .option('--epochs <n>', 'of the whole run (default: as before)', numberFor('epochs'))
    .option('--data <dir>', 'the folder that holds all images of the run, where it has moved')
    .option('--force', 'go on although images have gone or changed', false)
    .option('--executor <name>', `${EXECUTOR_NAMES.join(', ')} (default: as before)`)
    .option('--threads <n>', 'worker threads', numberFor('threads'), defaultThreads());
  addJson(addCache(addWorkers(addSaveEvery(addKeepEvery(addTime(command))))))
    .addHelpText('after', HELP)
    .action(async (run: string, options: Omit<ResumeOptions, 'run'> & CommonOptions) => {
      await resumeCommand({ ...options, run });
    });
}

async function resumeCommand(options: ResumeOptions & CommonOptions): Promise<void> {
  const output = new Output(options.json);
  await spoken(
    output,
    async (hooks) => {
      const outcome = await resume(options, hooks);
      if (outcome.status === 'nothingToDo') sayNothingToDo(outcome, output);
      else sayEnd(outcome, output);
      hooks.signal?.throwIfAborted(); // ends with the code of the signal
    },
    STOPPING,
  );
}
