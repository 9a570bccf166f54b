/** The Peer contract: another implementation of the training step, measured beside ours. */
import type { Command } from '../harness/json-process.js';

/** One peer: a program that speaks steps/protocol.ts. One file per peer, one line in index.ts. */
export interface Peer {
  readonly name: string;
  /** How to start it here, or why it cannot run, in a few words. */
  command(): Promise<Command | string>;
}
