/**
 * Which plan to train with in a given number of bytes: of the options that the user left open, the
 * best that fit.
 *
 * What is given up, first to last:
 *
 *   saved        the form of saved tensors: as the method has it, then in 8 bits, then recomputed
 *   passes       more of them with fewer images in each
 *   activations  the explained variance ε of compressed inputs, falling
 *   weights      that of factored weights, falling: truncation of weights costs the most accuracy
 *
 * So candidates have an order, and the first one that fits is the answer. Plans are made for few of
 * them, which is exact where bytes do not rise along a list: of forms, of the texts of a row, of
 * rows, and of passes from the second on. (A batch that is cut at all sums its gradients in memory
 * of their own, which the whole batch does without.)
 */
import type { SavedForm } from '@thimble/core';

/** What is open, best first; a list of one where the user has chosen. */
export interface SearchSpace {
  /** Method texts: rows by falling ε of weights, in a row by falling ε of activations. */
  readonly methods: readonly (readonly string[])[];
  readonly saved: readonly SavedForm[];
  /** Images of one pass, falling; the first may be the whole batch. */
  readonly passes: readonly number[];
}

export interface Candidate {
  readonly method: string;
  readonly saved: SavedForm;
  /** Images of one pass. */
  readonly pass: number;
}

export interface SearchResult {
  /** The first candidate that fits; null when none does. */
  readonly chosen: Candidate | null;
  /** Of all that were looked at, the one of the fewest bytes: of all, when none fits. */
  readonly least: { readonly candidate: Candidate; readonly bytes: number };
  /** Candidates that were looked at. */
  readonly tried: number;
}

/** @param bytesOf what a candidate needs in all; called once for each */
export function searchPlans(
  { methods, saved, passes }: SearchSpace,
  bytesOf: (candidate: Candidate) => number,
  budget: number,
): SearchResult {
  const known = new KnownBytes(bytesOf);
  const fits = (candidate: Candidate) => known.of(candidate) <= budget;
  const smallest = saved[saved.length - 1];
  const ends = [...new Set([passes[0], passes[passes.length - 1]])];
  const canFit = (method: string) => ends.some((pass) => fits({ method, saved: smallest, pass }));
  const row = methods.find((texts) => canFit(texts[texts.length - 1]));
  const method = row?.find(canFit);
  const pass = passes.find(
    (images) => method !== undefined && fits({ method, saved: smallest, pass: images }),
  );
  if (method === undefined || pass === undefined) {
    return { chosen: null, least: known.least(), tried: known.count };
  }
  const form = saved.find((own) => fits({ method, saved: own, pass })) ?? smallest;
  return { chosen: { method, saved: form, pass }, least: known.least(), tried: known.count };
}

/** A batch in 1, 2, 3, … passes of equal size, as images of one pass, falling. */
export function passesOf(batch: number): readonly number[] {
  const all = Array.from({ length: batch }, (_, index) => batch - index);
  return all.filter((pass) => batch % pass === 0);
}

/** What candidates need, each asked once. */
class KnownBytes {
  private readonly bytesOf: (candidate: Candidate) => number;
  private readonly all = new Map<string, { candidate: Candidate; bytes: number }>();

  constructor(bytesOf: (candidate: Candidate) => number) {
    this.bytesOf = bytesOf;
  }

  get count(): number {
    return this.all.size;
  }

  of(candidate: Candidate): number {
    const key = JSON.stringify(candidate);
    const found = this.all.get(key) ?? { candidate, bytes: this.bytesOf(candidate) };
    this.all.set(key, found);
    return found.bytes;
  }

  least(): { candidate: Candidate; bytes: number } {
    return [...this.all.values()].reduce((best, other) =>
      other.bytes < best.bytes ? other : best,
    );
  }
}
