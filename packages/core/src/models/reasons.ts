/** What the names of a checkpoint's tensors tell of its model, for errors. */

/** Names, and the part of a model that they belong to. */
export type Reason = readonly [pattern: RegExp, part: string];

export interface Reasons {
  /** Parts that the family's models do not have, whatever else is in the file. */
  readonly strange: readonly Reason[];
  /** The same for names that are at home in one of its models, and strangers in another. */
  readonly misplaced: readonly Reason[];
  /** What it means that a tensor is not there. */
  readonly absent: readonly Reason[];
}

/** The parts that `names` tell, each once; '' for none. */
export function partsOf(names: readonly string[], reasons: readonly Reason[]): string {
  const found = reasons.filter(([pattern]) => names.some((name) => pattern.test(name)));
  return [...new Set(found.map(([, part]) => part))].join(', ');
}
