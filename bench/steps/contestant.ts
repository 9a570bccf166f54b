/**
 * The process of one of Thimble's executors in the step benchmark: node contestant.js native|wasm.
 * Speaks protocol.ts.
 */
import '../harness/small-process.js';
import { Garbage } from '@thimble/native';
import { answerLines, runSteps } from '../harness/json-answers.js';
import type { StepConfig } from './protocol.js';
import { STEP_EXECUTORS, StepTrainer, type StepExecutorName } from './trainer.js';

const name = process.argv[2] ?? '';
/** Loaded by the first line. */
const loaded: { trainer?: StepTrainer } = {};
await answerLines(async (request) => {
  const { trainer } = loaded;
  if (trainer) return runSteps(() => trainer.step(), (request as { readonly run: number }).run);
  return load(request as StepConfig);
});
await loaded.trainer?.executor.dispose();

async function load(config: StepConfig): Promise<object> {
  if (!isExecutorName(name)) {
    throw new Error(
      `contestant: expected ${Object.keys(STEP_EXECUTORS).join(' or ')}, got ${name}`,
    );
  }
  const trainer = await StepTrainer.load(name, config);
  loaded.trainer = trainer;
  await new Garbage().settled(); // what compiling left, as before the loop of thimble train
  for (let step = 0; step < config.warmup; step++) await trainer.step();
  return { ready: true, ...trainer.ready };
}

function isExecutorName(text: string): text is StepExecutorName {
  return Object.hasOwn(STEP_EXECUTORS, text);
}
