/**
 * PyTorch on the CPU, where the environment variable THIMBLE_PEER_PYTHON names a Python that has
 * it: at its fastest, and as it comes.
 *
 * glibc gives large blocks back to the system as soon as they are freed, and every step pays for their pages again.
 * Kept, a step of MobileNetV2 (batch 16, two threads) takes 329 ms instead of 840 to 1600, ResNet-18 580 instead of 1030,
 * ViT-B/32 1430 instead of 1920, for a tenth to a fifth more memory at the peak.
 */
import { fileURLToPath } from 'node:url';
import type { Command } from '../harness/json-process.js';
import type { Peer } from './peer.js';

/** This file runs as bench/dist/peers/pytorch.js. */
const script = fileURLToPath(new URL('../../peers/pytorch.py', import.meta.url));

/** malloc keeps what is freed: nothing is cut off at the end, and no block has a mapping of its own. */
const KEPT = { MALLOC_TRIM_THRESHOLD_: '10000000000', MALLOC_MMAP_MAX_: '0' } as const;

function commandIn(environment: Readonly<Record<string, string>>): Command | string {
  const python = process.env['THIMBLE_PEER_PYTHON'];
  if (python === undefined || python === '') return 'THIMBLE_PEER_PYTHON is not set';
  return { file: python, args: [script], environment };
}

export const pytorch: Peer = {
  name: 'PyTorch',
  means: 'native',
  command: () => Promise.resolve(commandIn(KEPT)),
};

/** With the allocator's defaults: less memory, and slower. */
export const pytorchAsItComes: Peer = {
  name: 'PyTorch, default malloc',
  means: 'native',
  command: () => Promise.resolve(commandIn({})),
};
