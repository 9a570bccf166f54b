/**
 * The process of one of Thimble's executors in the step benchmark: node contestant.js native|wasm.
 * Speaks protocol.ts.
 */
import '../harness/small-process.js';
import { serveSteps } from './serve.js';
import { STEP_EXECUTORS, StepTrainer, type StepExecutorName } from './trainer.js';

const name = process.argv[2] ?? '';
await serveSteps((config) => {
  if (isExecutorName(name)) return StepTrainer.load(name, config);
  const known = Object.keys(STEP_EXECUTORS).join(' or ');
  throw new Error(`contestant: expected ${known}, got ${name}`);
});

function isExecutorName(text: string): text is StepExecutorName {
  return Object.hasOwn(STEP_EXECUTORS, text);
}
