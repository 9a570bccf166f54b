/**
 * How a table says where a library keeps each parameter, read in both directions.
 *
 * A table maps a parameter of ours to the foreign tensor that holds it. In both, `{b}`, `{s}`, … stand for
 * numbers (of a block, of a stage), which foreign names may shift and multiply (`{s-1}`, `{2s+1}`), and a
 * last `*` for whatever the last part is called (`weight`, `bias`); `{p}` is one of the layout's prefixes.
 * A list of foreign tensors stands for consecutive blocks of rows: query, key and value of a fused qkv. A
 * parameter without an entry cannot be had in that naming.
 *
 * Invariant: a tensor of a file is a parameter of ours by the table, `ignored`, or an error.
 */
import { ConfigError } from '../errors.js';

/**
 * Whose names the tensors of a checkpoint have; `thimble` are timm's, with Thimble's own metadata, and `arch` those of
 * files that an arch.json describes.
 */
export type NamingName = 'timm' | 'hugging-face' | 'torchvision' | 'arch' | 'thimble';

/** The namings under which weights are written. */
export type WrittenNaming = 'timm' | 'hugging-face';

export type Table = Readonly<Record<string, string | readonly string[]>>;

export interface Layout {
  readonly naming: NamingName;
  readonly names: Names;
  /** Values of `{p}`, the likeliest first. */
  readonly prefixes: readonly string[];
  /** Parameters of ours that a file of this layout always has, and one of another naming does not. */
  readonly sign: readonly string[];
  /** Foreign tensors that are no weights of the classifying model. */
  readonly ignored: readonly RegExp[];
}

export interface PlacedLayout extends Layout {
  /** The value of `{p}` in this file. */
  readonly prefix: string;
}

/** A table, ready to be looked up. */
export type Names = readonly Entry[];

interface Entry {
  /** What names of ours the entry is for, with a group for each number and `last` for `*`. */
  readonly ours: RegExp;
  readonly theirs: readonly string[];
}

/** `table` ready to be looked up. */
export function namesOf(table: Table): Names {
  return Object.entries(table).map(([ours, theirs]) => {
    const pattern = ours
      .replaceAll('.', '\\.')
      .replace(/\{([a-z])\}/g, '(?<$1>\\d+)')
      .replace('*', '(?<last>[^.]+)');
    return {
      ours: new RegExp(`^${pattern}$`),
      theirs: typeof theirs === 'string' ? [theirs] : theirs,
    };
  });
}

/** A table of names that are the same in both. */
export function same(names: readonly string[]): Table {
  return Object.fromEntries(names.map((name) => [name, name]));
}

/** The foreign tensors of our parameter `name`; null where the naming has no such parameter. */
export function placesOf({ names, prefix }: PlacedLayout, name: string): readonly string[] | null {
  for (const { ours, theirs } of names) {
    const match = ours.exec(name);
    if (match) return theirs.map((pattern) => filled(pattern, prefix, match.groups ?? {}));
  }
  return null;
}

/** A foreign name with its numbers, prefix and last part. */
function filled(
  pattern: string,
  prefix: string,
  found: Readonly<Record<string, string | undefined>>,
): string {
  const number = (_: string, factor: string, name: string, shift = '') =>
    String(Number(factor || 1) * Number(found[name]) + Number(shift));
  return pattern
    .replace('{p}', prefix)
    .replace(/\{(\d*)([a-z])([+-]\d+)?\}/g, number)
    .replace('*', found.last ?? '');
}

/** The error of a model that `naming` does not have, since it has no place for `parameter`. */
export function noPlace(naming: string, parameter: string): ConfigError {
  return new ConfigError({
    where: `names of ${naming}`,
    expected: 'a model that the library has',
    got: `one with ${parameter}`,
    todo: 'Export to ONNX, or keep the file as Thimble saves it (timm names)',
  });
}
