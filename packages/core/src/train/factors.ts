/**
 * Factored checkpoints: a weight W stored as `W.left` [O, K] and `W.right` [K, I]. What to say when a file
 * and a model do not agree on the form of a weight or on its rank.
 */
import { CheckpointError } from '../errors.js';
import type { Parameter } from '../ir/graph.js';
import type { Shape } from '../ir/types.js';

type Shapes = ReadonlyMap<string, Shape>;

const LEFT = '.left';

/** K of every weight that a file holds as factors, by the weight's name. */
export function storedRanks(shapes: Shapes): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>();
  for (const [name, left] of shapes) {
    if (left.length !== 2 || !name.endsWith(LEFT)) continue;
    const weight = name.slice(0, -LEFT.length);
    const right = shapes.get(`${weight}.right`);
    if (right?.length !== 2) continue;
    if (left[1] === right[0]) ranks.set(weight, left[1]);
  }
  return ranks;
}

/**
 * Throws CheckpointError when `file` holds a weight of `expected` in another form, or its factors at another
 * rank. Adapters are added to a dense weight and do not count.
 */
export function checkForms(expected: readonly Parameter[], file: string, shapes: Shapes): void {
  const ranks = storedRanks(shapes);
  for (const { name, type, source } of expected) {
    const { factor } = source;
    const rank = ranks.get(factor?.weight ?? name);
    if (!factor) {
      if (rank !== undefined && !shapes.has(name)) throw factored(file, name, rank);
    } else if (factor.form === 'low-rank') {
      const wanted = factor.side === 'left' ? type.shape[1] : type.shape[0];
      if (rank === undefined && shapes.has(factor.weight)) {
        throw dense(file, factor.weight, wanted);
      }
      if (rank !== undefined && rank !== wanted) {
        throw otherRank(file, factor.weight, wanted, rank);
      }
    }
  }
}

function factored(file: string, weight: string, rank: number): CheckpointError {
  return new CheckpointError({
    where: `${file}, tensor ${weight}`,
    expected: 'a dense weight',
    got: `factors of rank ${String(rank)}`,
    todo: 'Use the method and the ranks of the run that saved it (its run folder has both)',
    options: ['method'],
  });
}

function dense(file: string, weight: string, rank: number): CheckpointError {
  return new CheckpointError({
    where: `${file}, tensor ${weight}`,
    expected: `factors of rank ${String(rank)}`,
    got: 'a dense weight',
    todo: 'Prepare the weights for the method, which factors them, or use a method without factors',
  });
}

function otherRank(file: string, weight: string, wanted: number, rank: number): CheckpointError {
  return new CheckpointError({
    where: `${file}, tensor ${weight}`,
    expected: `factors of rank ${String(wanted)}`,
    got: `rank ${String(rank)}`,
    todo: 'Compile with the ranks of the run that saved it, or start again from the dense weights',
  });
}
