/** Activations, as the operators of ONNX that they are. */
import { float } from '../graph.js';
import type { Site } from '../site.js';

/** ReLU under its own name, which runtimes fold into the product in front of it. */
export function clamp(site: Site): string {
  const x = site.input('x');
  const { low, high } = site.node.params;
  if (low === 0 && high === undefined) return site.emit('Relu', [x]);
  const bound = (value: unknown) => (value === undefined ? '' : site.scalar(Number(value)));
  return site.emit('Clip', [x, bound(low), ...(high === undefined ? [] : [bound(high)])]);
}

export function hardSigmoid(site: Site): string {
  const attributes = { alpha: float(1 / 6), beta: float(0.5) };
  return site.emit('HardSigmoid', [site.input('x')], attributes);
}

export function hardSwish(site: Site): string {
  return site.emit('HardSwish', [site.input('x')]);
}

export function sigmoid(site: Site): string {
  return site.emit('Sigmoid', [site.input('x')]);
}

/** In the parts that onnxruntime recognises and runs as one. */
export function silu(site: Site): string {
  const x = site.input('x');
  return site.emit('Mul', [x, site.emit('Sigmoid', [x])]);
}
