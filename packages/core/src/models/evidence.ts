/**
 * What there is to tell a model's configuration from: the tensors of a checkpoint, and what is said beside
 * them. Each fact that both say has to be the same in both.
 */
import { CheckpointError } from '../errors.js';
import type { Shape } from '../ir/types.js';
import type { NamingName } from './naming.js';
import type { FamilyConfig } from './sizes.js';

export interface Evidence<C extends FamilyConfig> {
  /** For errors. */
  readonly file: string;
  /** Of the tensors, whoever saved them. */
  readonly naming: NamingName;
  /** Of all tensors, as the file has them. */
  readonly names: readonly string[];
  /** Of our parameter `name`; null where the file does not have it. */
  shape(name: string): Shape | null;
  readonly said: Said<C>;
  /** What people call the models that can be read, for errors. */
  readonly kinds: Kinds;
}

/** `ViT, DeiT or ResNet`, `ViTs, DeiTs and ResNets`. */
export interface Kinds {
  readonly one: string;
  readonly many: string;
}

/** What is said beside the tensors, by whom, and where (for errors). */
export type Said<C extends FamilyConfig> =
  | { readonly by: 'thimble'; readonly from: string; readonly config: SaidConfig<C> }
  | { readonly by: 'transformers' | 'timm' | 'arch'; readonly from: string; readonly file: unknown }
  | { readonly by: 'words'; readonly from: string; readonly words: ReadonlyMap<string, string> };

/** A configuration whose image size and classes only the tensors may tell. */
export type SaidConfig<C extends FamilyConfig> = Omit<C, 'imageSize' | 'classes'> & {
  readonly imageSize: number | undefined;
  readonly classes: number | undefined;
};

export interface Configured<C extends FamilyConfig> {
  /** Complete; without a classifier in the file, `classes` is a placeholder. */
  readonly config: C;
  readonly hasClassifier: boolean;
  /** What was assumed, for the description. */
  readonly guesses: readonly string[];
}

/** Anything that errors need of an Evidence. */
type Witness = Pick<Evidence<FamilyConfig>, 'file'> & { readonly said: { readonly from: string } };

/** Throws CheckpointError where something is said of `what` and is not what was found. */
export function agree<T extends number | string>(
  witness: Witness,
  what: string,
  said: T | undefined,
  found: T,
): void {
  if (said === undefined || said === found) return;
  throw new CheckpointError({
    where: witness.file,
    expected: `${what} ${String(said)}, as ${witness.said.from} says`,
    got: `${String(found)} in the tensors`,
    todo: 'Use the files of one and the same model',
  });
}

/** The error of what is said and no family's models can do. */
export function unsupported(
  key: string,
  expected: string,
  got: string,
  { one }: Kinds,
): CheckpointError {
  return new CheckpointError({
    where: `config.json, ${key}`,
    expected,
    got,
    todo: `Thimble has no such model; choose a plain ${one}`,
  });
}

/** Classes in the configuration of a backbone without a classifier. */
const NO_CLASSES = 1000;

/** The classes of the classifier whose weight is `name`. */
export function classifierOf(
  evidence: Witness & Pick<Evidence<FamilyConfig>, 'shape'>,
  name: string,
  said: number | undefined,
): { readonly classes: number; readonly hasClassifier: boolean } {
  const classes = evidence.shape(name)?.[0];
  if (classes === undefined) return { classes: NO_CLASSES, hasClassifier: false };
  agree(evidence, 'classes', said, classes);
  return { classes, hasClassifier: true };
}

/** How many of 0, 1, … there are. */
export function countOf(exists: (index: number) => boolean): number {
  let index = 0;
  while (exists(index)) index++;
  return index;
}
