/**
 * Which plan to train with in a given number of bytes: of the options that the user left open, the
 * best that fit.
 *
 * What is given up, first to last:
 *
 *   slices       more of them with fewer images in each, which costs next to no time
 *   saved        the form of saved tensors: as the method has it, then in 8 bits, then recomputed
 *   passes       more of them with fewer images in each
 *   activations  the explained variance ε of compressed inputs, falling
 *   weights      that of factored weights, falling: truncation of weights costs the most accuracy
 *
 * So candidates have an order, and the first one that fits is the answer. Plans are made for few of
 * them, which is exact where bytes do not rise along a list: of slices, of forms, of rows, and of passes
 * from the second on. (A batch that is cut at all sums its gradients in memory of their own, which the whole
 * batch does without.) Along a row they may rise before they fall: inputs are compressed from the ε on at
 * which that saves work, and take memory of their own where blocks are recomputed.
 */
import type { BoundMethod, SavedForm } from '@thimble/core';

/** What the search knows of a method: what tells it from the others. */
export interface Worded {
  readonly text: string;
}

/** What is open, best first; a list of one where the user has chosen. */
export interface SearchSpace<M extends Worded = BoundMethod> {
  /** Rows by falling ε of weights, in a row by falling ε of activations. */
  readonly methods: readonly (readonly M[])[];
  readonly saved: readonly SavedForm[];
  /** Images of a micro-batch, falling; the first may be the whole batch. */
  readonly passes: readonly number[];
  /** Into how many slices a pass of so many images may be cut, rising. */
  slicesOf(pass: number): readonly number[];
}

export interface Candidate<M extends Worded = BoundMethod> {
  readonly method: M;
  readonly saved: SavedForm;
  /** Images of a micro-batch. */
  readonly pass: number;
  /** Of a micro-batch. */
  readonly slices: number;
}

export interface SearchResult<M extends Worded = BoundMethod> {
  /** The first candidate that fits; null when none does. */
  readonly chosen: Candidate<M> | null;
  /** Of all that were looked at, the one of the fewest bytes: of all, when none fits. */
  readonly least: { readonly candidate: Candidate<M>; readonly bytes: number };
  /** Candidates that were looked at. */
  readonly tried: number;
}

/** @param bytesOf what a candidate needs in all; called once for each */
export function searchPlans<M extends Worded>(
  { methods, saved, passes, slicesOf }: SearchSpace<M>,
  bytesOf: (candidate: Candidate<M>) => number,
  budget: number,
): SearchResult<M> {
  const known = new KnownBytes(bytesOf);
  const fits = (candidate: Candidate<M>) => known.of(candidate) <= budget;
  /** Whether it does with the fewest slices or the most. */
  const fitsCut = (candidate: Omit<Candidate<M>, 'slices'>) =>
    endsOf(slicesOf(candidate.pass)).some((slices) => fits({ ...candidate, slices }));
  const smallest = saved[saved.length - 1];
  const canFit = (method: M) =>
    endsOf(passes).some((pass) => fitsCut({ method, saved: smallest, pass }));
  // The last of a row is the likely one to fit.
  const row = methods.find((rungs) => endsOf(rungs.toReversed()).some(canFit));
  const method = row?.find(canFit);
  const pass = passes.find(
    (images) => method !== undefined && fitsCut({ method, saved: smallest, pass: images }),
  );
  if (method === undefined || pass === undefined) {
    return { chosen: null, least: known.least(), tried: known.count };
  }
  const form = saved.find((own) => fitsCut({ method, saved: own, pass })) ?? smallest;
  const slices = slicesOf(pass).find((count) => fits({ method, saved: form, pass, slices: count }));
  const chosen = slices === undefined ? null : { method, saved: form, pass, slices };
  return { chosen, least: known.least(), tried: known.count };
}

/** The first and the last of a list. */
function endsOf<T>(list: readonly T[]): readonly T[] {
  return [...new Set([list[0], list[list.length - 1]])];
}

/** A batch in 1, 2, 3, … micro-batches of equal size, as images of one, falling. */
export function passesOf(batch: number): readonly number[] {
  const all = Array.from({ length: batch }, (_, index) => batch - index);
  return all.filter((pass) => batch % pass === 0);
}

/** What candidates need, each asked once. */
class KnownBytes<M extends Worded> {
  private readonly bytesOf: (candidate: Candidate<M>) => number;
  private readonly all = new Map<string, { candidate: Candidate<M>; bytes: number }>();

  constructor(bytesOf: (candidate: Candidate<M>) => number) {
    this.bytesOf = bytesOf;
  }

  get count(): number {
    return this.all.size;
  }

  of(candidate: Candidate<M>): number {
    const key = JSON.stringify({ ...candidate, method: candidate.method.text });
    const found = this.all.get(key) ?? { candidate, bytes: this.bytesOf(candidate) };
    this.all.set(key, found);
    return found.bytes;
  }

  least(): { candidate: Candidate<M>; bytes: number } {
    return [...this.all.values()].reduce((best, other) =>
      other.bytes < best.bytes ? other : best,
    );
  }
}
