/** The process of one training method in the scale benchmark. Speaks protocol.ts. */
import '../harness/small-process.js';
import { createInterface } from 'node:readline';
import { peakBytes } from '../harness/peak-bytes.js';
import type { ScaleConfig } from './protocol.js';
import { ScaleTrainer } from './trainer.js';

type Request = { readonly run: number } | { readonly infer: number };

/** Loaded by the first line. */
const loaded: { trainer?: ScaleTrainer } = {};
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
  const { trainer } = loaded;
  if (!trainer) {
    loaded.trainer = await ScaleTrainer.load(JSON.parse(line) as ScaleConfig);
    return loaded.trainer.ready;
  }
  const request = JSON.parse(line) as Request;
  const ms: number[] = [];
  if ('infer' in request) {
    for (let turn = 0; turn < request.infer; turn++) ms.push(await trainer.infer());
    return { ms };
  }
  const loss: number[] = [];
  for (let turn = 0; turn < request.run; turn++) {
    const [milliseconds, value] = await trainer.step();
    ms.push(milliseconds);
    loss.push(value);
  }
  return { ms, loss, rssPeakBytes: peakBytes() };
}
