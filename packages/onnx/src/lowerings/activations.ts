/** Activations, as the operators of ONNX that they are. */
import { float } from '../graph.js';
import type { Site } from '../site.js';
import type { Lowered } from '../value-names.js';

/** What is computed number by number: of an image with channels first, where it is known so. */
function elementwise(site: Site, emit: (x: string) => string): Lowered {
  return site.isImage('x') ? { channelsFirst: emit(site.image('x')) } : emit(site.input('x'));
}

/** ReLU under its own name, which runtimes fold into the product in front of it. */
export function clamp(site: Site): Lowered {
  const { low, high } = site.node.params;
  if (low === 0 && high === undefined) return elementwise(site, (x) => site.emit('Relu', [x]));
  const bound = (value: unknown) => (value === undefined ? '' : site.scalar(Number(value)));
  const bounds = [bound(low), ...(high === undefined ? [] : [bound(high)])];
  return elementwise(site, (x) => site.emit('Clip', [x, ...bounds]));
}

export function hardSigmoid(site: Site): Lowered {
  const attributes = { alpha: float(1 / 6), beta: float(0.5) };
  return elementwise(site, (x) => site.emit('HardSigmoid', [x], attributes));
}

export function hardSwish(site: Site): Lowered {
  return elementwise(site, (x) => site.emit('HardSwish', [x]));
}

export function sigmoid(site: Site): Lowered {
  return elementwise(site, (x) => site.emit('Sigmoid', [x]));
}

/** In the parts that onnxruntime recognises and runs as one. */
export function silu(site: Site): Lowered {
  return elementwise(site, (x) => site.emit('Mul', [x, site.emit('Sigmoid', [x])]));
}
