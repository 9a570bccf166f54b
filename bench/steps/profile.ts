/** Where the time of one training step goes. */
import { profileText } from '../harness/profile.js';
import type { AnyStepConfig } from '../harness/step-protocol.js';
import { STEP_EXECUTORS, StepTrainer, type StepExecutorName } from './trainer.js';

/** Medians of `repeats` profiled steps, as text. */
export function profileStep(
  executor: StepExecutorName,
  config: AnyStepConfig,
  repeats: number,
): Promise<string> {
  const source = {
    load: async (threads: number) => {
      const trainer = await StepTrainer.load(executor, { ...config, threads });
      return {
        executor: trainer.executor,
        entry: 'step',
        writeInputs: () => {
          trainer.writeBatch();
        },
        dispose: () => trainer.close(),
      };
    },
    peaks: (threads: number) => STEP_EXECUTORS[executor].peaks({ threads }),
  };
  return profileText(source, { threads: config.threads, repeats });
}
