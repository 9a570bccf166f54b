/** Where the weights of a run came from. */
import { schema } from '@thimble/core';
import type { HashedFile } from '../weights/hashes.js';

/** What a run started from, for its record. */
export interface Origin {
  readonly from: string;
  readonly description: string;
  /** A model on the hub: `owner/name` and the commit. */
  readonly hub?: { readonly name: string; readonly commit: string };
  readonly files: readonly HashedFile[];
}

const { list, objectOf, optional, text } = schema;

/** An origin as a run's record has it. */
export const originReader: schema.Reader<Origin> = objectOf<Origin>({
  from: text(),
  description: text(),
  hub: optional(
    objectOf<NonNullable<Origin['hub']>>({
      name: text({ most: 200 }),
      commit: text({ most: 200 }),
    }),
  ),
  files: list(objectOf<HashedFile>({ file: text(), sha256: text({ most: 200 }) })),
});
