/** outcomes: what a model says of each image, and what follows for images that it is to forget. */
import type { Executor } from '../executors/executor.js';
import type { Batches } from '../train/batch.js';
import { argmax, checkedLogits, predictLogits } from '../train/evaluate.js';
import { attackedShare, entropy } from './attack.js';

/** What a model says of one image. */
export interface Outcome {
  readonly isRight: boolean;
  /** Of the softmax, in nats. */
  readonly entropy: number;
}

/** The outcomes of the images of every set that forgetting is measured on. */
export interface Outcomes {
  /** Images of training that stay. */
  readonly retained: readonly Outcome[];
  /** Images of training to forget. */
  readonly forgotten: readonly Outcome[];
  /** Images that were never trained on and whose classes stay. */
  readonly retainedTest: readonly Outcome[];
  /** Images that were never trained on, of a class to forget; none where single images are forgotten. */
  readonly forgottenTest: readonly Outcome[];
}

/** Means over images; null where there are none. */
export interface ForgettingScores {
  /** Of `retainedTest`. */
  readonly retainedAccuracy: number | null;
  /** Of `forgottenTest`; where there are none, of `forgotten`. */
  readonly forgottenAccuracy: number | null;
  /** Share of `forgotten` that membership inference takes for images of training. */
  readonly attackedAccuracy: number | null;
}

/** Runs `eval` over all batches. Throws NumericError for logits that are not finite. */
export async function outcomes(
  executor: Executor,
  batches: Batches,
  signal?: AbortSignal,
): Promise<readonly Outcome[]> {
  const results: Outcome[] = [];
  for await (const { images, labels, real, taken } of batches) {
    signal?.throwIfAborted();
    const logits = await predictLogits(executor, images, taken);
    const classes = logits.length / labels.length;
    for (let row = 0; row < real; row++) {
      const image = `image ${String(results.length)}`;
      const scores = checkedLogits(logits.subarray(row * classes, (row + 1) * classes), image);
      results.push({ isRight: argmax(scores) === labels[row], entropy: entropy(scores) });
    }
  }
  return results;
}

/** The scores of a model: those that are compared before and after, and with a model trained anew. */
export function forgettingScores(of: Outcomes): ForgettingScores {
  const { retained, forgotten, retainedTest, forgottenTest } = of;
  const others = [...retainedTest, ...forgottenTest];
  const entropies = (all: readonly Outcome[]) => all.map(({ entropy: value }) => value);
  const canAttack = retained.length > 0 && others.length > 0 && forgotten.length > 0;
  return {
    retainedAccuracy: accuracy(retainedTest),
    forgottenAccuracy: accuracy(forgottenTest.length > 0 ? forgottenTest : forgotten),
    attackedAccuracy: canAttack
      ? attackedShare(entropies(retained), entropies(others), entropies(forgotten))
      : null,
  };
}

/** Share of right answers; null where there are none. */
function accuracy(all: readonly Outcome[]): number | null {
  return all.length === 0 ? null : all.filter(({ isRight }) => isRight).length / all.length;
}
