/**
 * The process of one of Thimble's executors in the step benchmark: node contestant.js native|wasm.
 * Speaks protocol.ts.
 */
import '../harness/small-process.js';
import { Garbage } from '@thimble/native';
import { serveSteps } from '../harness/serve-steps.js';
import type { NetworkModel, StepModel } from '../harness/step-protocol.js';
import { STEP_EXECUTORS, StepTrainer, type StepExecutorName } from './trainer.js';

const name = process.argv[2] ?? '';
await serveSteps<StepModel | NetworkModel>(async (config) => {
  if (!isExecutorName(name)) {
    const known = Object.keys(STEP_EXECUTORS).join(' or ');
    throw new Error(`contestant: expected ${known}, got ${name}`);
  }
  const trainer = await StepTrainer.load(name, config);
  await new Garbage().settled(); // what compiling left, as before the loop of thimble train
  return trainer;
});

function isExecutorName(text: string): text is StepExecutorName {
  return Object.hasOwn(STEP_EXECUTORS, text);
}
