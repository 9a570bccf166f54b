/** The process of one training method in the scale benchmark. Speaks protocol.ts. */
import '../harness/small-process.js';
import { answerLines, runSteps } from '../harness/json-answers.js';
import type { ScaleConfig } from './protocol.js';
import { ScaleTrainer } from './trainer.js';

type Request = { readonly run: number } | { readonly infer: number };

/** Loaded by the first line. */
const loaded: { trainer?: ScaleTrainer } = {};
await answerLines(async (request) => {
  const { trainer } = loaded;
  if (trainer) return answer(trainer, request as Request);
  loaded.trainer = await ScaleTrainer.load(request as ScaleConfig);
  return loaded.trainer.ready;
});
await loaded.trainer?.executor.dispose();

async function answer(trainer: ScaleTrainer, request: Request): Promise<object> {
  if ('run' in request) return runSteps(() => trainer.step(), request.run);
  const ms: number[] = [];
  for (let turn = 0; turn < request.infer; turn++) ms.push(await trainer.infer());
  return { ms };
}
