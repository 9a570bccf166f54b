/** The Peer contract: another implementation of the training step, measured beside ours. */
import { fileURLToPath } from 'node:url';
import type { Command } from '../harness/json-process.js';
import { packageMain } from './shared/packages.js';

/** One peer: a program that speaks harness/step-protocol.ts. One file per peer, one line in index.ts. */
export interface Peer {
  readonly name: string;
  /** What it runs as, and with that which of our executors it is compared with. */
  readonly means: 'native' | 'wasm';
  /** A step takes so long that it gets few: SLOW in steps/contestants.ts. */
  readonly slow?: boolean;
  /** How to start it here, or why it cannot run, in a few words. */
  command(): Promise<Command | string>;
}

/**
 * How to start a peer that runs in Node.
 *
 * @param script its process, as a path from bench/dist/peers
 * @param packages that it needs
 */
export async function nodeCommand(
  script: string,
  packages: readonly string[],
): Promise<Command | string> {
  const absent = packages.find((name) => packageMain(name) === null);
  if (absent !== undefined) return `${absent} is not installed`;
  const file = fileURLToPath(new URL(script, import.meta.url));
  return { file: process.execPath, args: [file] };
}
