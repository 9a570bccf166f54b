/** Where the weights of a run came from. */
import type { HashedFile } from './weights/files.js';

/** What a run started from, for its record. */
export interface Origin {
  readonly from: string;
  readonly description: string;
  /** A model on the hub: `owner/name` and the commit. */
  readonly hub?: { readonly name: string; readonly commit: string };
  readonly files: readonly HashedFile[];
}
