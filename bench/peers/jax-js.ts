/** jax-js on its WebAssembly backend: loss, gradient and update as one jitted function. */
import { nodeCommand, type Peer } from './peer.js';

export const jaxJs: Peer = {
  name: 'jax-js',
  means: 'wasm',
  slow: true,
  command: () => nodeCommand('./jax-js/process.js', ['@jax-js/jax']),
};
