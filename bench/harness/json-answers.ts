/** The other side of json-process.ts: a process that answers each line of JSON by one. */
import { createInterface } from 'node:readline';
import { peakBytes } from './peak-bytes.js';

/** Milliseconds and losses of steps, and the process's peak after them. */
export interface RanSteps {
  readonly ms: readonly number[];
  readonly loss: readonly number[];
  readonly rssPeakBytes: number;
}

/** Answers until stdin ends; an error of `reply` is the answer `{error}`. */
export async function answerLines(reply: (request: unknown) => Promise<object>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer: object;
    try {
      answer = await reply(JSON.parse(line));
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

/** @param step one update: milliseconds and loss */
export async function runSteps(
  step: () => Promise<readonly [ms: number, loss: number]>,
  count: number,
): Promise<RanSteps> {
  const ms: number[] = [];
  const loss: number[] = [];
  for (let done = 0; done < count; done++) {
    const [milliseconds, value] = await step();
    ms.push(milliseconds);
    loss.push(value);
  }
  return { ms, loss, rssPeakBytes: peakBytes() };
}
