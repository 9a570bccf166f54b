/** onnxruntime in Node and as WebAssembly: a training step as one ONNX graph. */
import { nodeCommand, type Peer } from './peer.js';

export const onnxruntimeNode: Peer = {
  name: 'onnxruntime-node',
  means: 'native',
  command: () => nodeCommand('./onnxruntime/node-process.js', ['onnxruntime-node']),
};

export const onnxruntimeWeb: Peer = {
  name: 'onnxruntime-web',
  means: 'wasm',
  command: () => nodeCommand('./onnxruntime/web-process.js', ['onnxruntime-web']),
};
