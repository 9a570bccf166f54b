/** The process of one training method in the scale benchmark. Speaks protocol.ts. */
import '../harness/small-process.js';
import { answerLines, runSteps } from '../harness/json-answers.js';
import type { ScaleConfig } from './protocol.js';
import { ScaleTrainer } from './trainer.js';

/** Loaded by the first line. */
const loaded: { trainer?: ScaleTrainer } = {};
await answerLines(async (request) => {
  const { trainer } = loaded;
  if (trainer) return runSteps(() => trainer.step(), (request as { readonly run: number }).run);
  loaded.trainer = await ScaleTrainer.load(request as ScaleConfig);
  return loaded.trainer.ready;
});
await loaded.trainer?.close();
