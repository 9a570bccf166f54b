/** TensorFlow.js on its WebAssembly backend, by tf.variableGrads. */
import { nodeCommand, type Peer } from './peer.js';

export const tfjs: Peer = {
  name: 'tfjs',
  means: 'wasm',
  slow: true,
  command: () =>
    nodeCommand('./tfjs/process.js', ['@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-wasm']),
};
