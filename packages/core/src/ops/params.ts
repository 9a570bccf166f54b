/**
 * The kinds of an op's params, declared in its record: what a program from outside has to say of each before
 * a shape rule or a kernel may believe it.
 */
import type { Params } from '../ir/graph.js';

/**
 * `whole`: a whole number from 0; `size`: a number ≥ 0; `share`: one in [0, 1); `number`: any; all finite.
 * `truth`: true or false.
 */
export type ParamKind = NumberKind | 'truth' | 'text';

type NumberKind = 'whole' | 'size' | 'share' | 'number';

/** A kind for every param; `?` marks one that may be absent, as with operands. */
export type ParamKinds<P> = string extends keyof P
  ? Readonly<Record<string, [P[keyof P]] extends [never] ? never : ParamKind | `${ParamKind}?`>>
  : {
      readonly [K in keyof P]-?: undefined extends P[K]
        ? `${KindOf<Exclude<P[K], undefined>>}?`
        : KindOf<P[K]>;
    };

type KindOf<T> = T extends boolean ? 'truth' : T extends number ? NumberKind : 'text';

const HOLDS: { readonly [K in ParamKind]: (value: unknown) => boolean } = {
  whole: (value) => Number.isSafeInteger(value) && Number(value) >= 0,
  size: (value) => typeof value === 'number' && Number.isFinite(value) && value >= 0,
  share: (value) => typeof value === 'number' && value >= 0 && value < 1,
  number: (value) => typeof value === 'number' && Number.isFinite(value),
  truth: (value) => typeof value === 'boolean',
  text: (value) => typeof value === 'string',
};

/** The first param that is not declared, is missing or is not of its kind; null when there is none. */
export function badParam(
  kinds: ParamKinds<Params>,
  params: Readonly<Record<string, unknown>>,
): string | null {
  for (const name of Object.keys(params)) if (!Object.hasOwn(kinds, name)) return name;
  for (const name of Object.keys(kinds)) {
    const declared = kinds[name];
    const optional = declared.endsWith('?');
    // The type is a kind with or without `?`, which TypeScript does not follow through `slice`.
    const kind = (optional ? declared.slice(0, -1) : declared) as ParamKind;
    const holds = Object.hasOwn(params, name) ? HOLDS[kind](params[name]) : optional;
    if (!holds) return name;
  }
  return null;
}
