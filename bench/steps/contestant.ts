/**
 * The process of one of Thimble's executors in the step benchmark: node contestant.js native|wasm.
 * Speaks protocol.ts.
 */
import '../harness/small-process.js';
import { createInterface } from 'node:readline';
import { peakBytes } from '../harness/peak-bytes.js';
import type { Ran, StepConfig } from './protocol.js';
import { STEP_EXECUTORS, StepTrainer, type StepExecutorName } from './trainer.js';

const name = process.argv[2] ?? '';
/** Loaded by the first line. */
const loaded: { trainer?: StepTrainer } = {};
for await (const line of createInterface({ input: process.stdin })) {
  let answer: object;
  try {
    answer = await reply(line);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await loaded.trainer?.executor.dispose();

async function reply(line: string): Promise<object> {
  if (loaded.trainer) {
    const { run } = JSON.parse(line) as { readonly run: number };
    return runSteps(loaded.trainer, run);
  }
  if (!isExecutorName(name)) {
    throw new Error(
      `contestant: expected ${Object.keys(STEP_EXECUTORS).join(' or ')}, got ${name}`,
    );
  }
  const config = JSON.parse(line) as StepConfig;
  const trainer = await StepTrainer.load(name, config);
  loaded.trainer = trainer;
  for (let step = 0; step < config.warmup; step++) await trainer.step();
  return { ready: true, ...trainer.ready };
}

async function runSteps(of: StepTrainer, count: number): Promise<Ran> {
  const ms: number[] = [];
  const loss: number[] = [];
  for (let step = 0; step < count; step++) {
    const [milliseconds, value] = await of.step();
    ms.push(milliseconds);
    loss.push(value);
  }
  return { ms, loss, rssPeakBytes: peakBytes() };
}

function isExecutorName(text: string): text is StepExecutorName {
  return Object.hasOwn(STEP_EXECUTORS, text);
}
