/** Activations, as the operators of ONNX that they are. */
import type { Site } from '../site.js';

/** ReLU under its own name, which runtimes fold into the product in front of it. */
export function clamp(site: Site): string {
  const x = site.input('x');
  const { low, high } = site.node.params;
  if (low === 0 && high === undefined) return site.emit('Relu', [x]);
  const bound = (value: unknown) => (value === undefined ? '' : site.scalar(Number(value)));
  return site.emit('Clip', [x, bound(low), ...(high === undefined ? [] : [bound(high)])]);
}
