/** The process of a contestant in Node: speaks protocol.ts. */
import { answerLines, runSteps } from './json-answers.js';
import type { NetworkModel, Ready, StepConfig, StepModel } from './step-protocol.js';

/** A model, its weights and the one batch. */
export interface StepRunner {
  readonly ready: Ready;
  /** Milliseconds and loss (before the update) of one step. */
  step(): Promise<readonly [ms: number, loss: number]>;
  close(): Promise<void>;
}

/** Answers until standard input ends; the first line is the configuration. */
export async function serveSteps<M extends StepModel | NetworkModel = StepModel>(
  load: (config: StepConfig<M>) => Promise<StepRunner>,
): Promise<void> {
  /** Loaded by the first line. */
  const loaded: { runner?: StepRunner } = {};
  await answerLines(async (request) => {
    const { runner } = loaded;
    if (runner) return runSteps(() => runner.step(), (request as { readonly run: number }).run);
    const config = request as StepConfig<M>;
    const started = await load(config);
    loaded.runner = started;
    for (let step = 0; step < config.warmup; step++) await started.step();
    return { ready: true, ...started.ready };
  });
  await loaded.runner?.close();
}
