/**
 * The peers of the step benchmark. To be listed is to be measured; the first one that runs is the
 * yardstick.
 */
import { jaxJs } from './jax-js.js';
import { onnxruntimeNode, onnxruntimeWeb } from './onnxruntime.js';
import type { Peer } from './peer.js';
import { pytorch, pytorchAsItComes } from './pytorch.js';
import { tfjs } from './tfjs.js';

export const PEERS: readonly Peer[] = [
  pytorch,
  pytorchAsItComes,
  onnxruntimeNode,
  onnxruntimeWeb,
  jaxJs,
  tfjs,
];
