/**
 * PyTorch on the CPU, where the environment variable THIMBLE_PEER_PYTHON names a Python that has
 * it.
 */
import { fileURLToPath } from 'node:url';
import type { Peer } from './peer.js';

/** This file runs as bench/dist/peers/pytorch.js. */
const script = fileURLToPath(new URL('../../peers/pytorch.py', import.meta.url));

export const pytorch: Peer = {
  name: 'PyTorch',
  means: 'native',
  command: async () => {
    const python = process.env['THIMBLE_PEER_PYTHON'];
    if (python === undefined || python === '') return 'THIMBLE_PEER_PYTHON is not set';
    return { file: python, args: [script] };
  },
};
