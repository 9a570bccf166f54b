/**
 * Batch normalisation with learnt statistics. ONNX has channels first: x is transposed around the norm, which a
 * runtime cancels against the transposes around the convolution in front of it.
 */
import type { OPS } from '@thimble/core';
import { float, ints } from '../graph.js';
import { indices, type Site } from '../site.js';

type Activation = Parameters<(typeof OPS)['batch_norm']['encode']>[1]['activation'];

const ACTIVATIONS: { readonly [K in Activation]: (site: Site, x: string) => string } = {
  none: (_site, x) => x,
  relu: (site, x) => site.emit('Relu', [x]),
  relu6: (site, x) => site.emit('Clip', [x, site.scalar(0), site.scalar(6)]),
  'hard-swish': (site, x) => site.emit('HardSwish', [x]),
  silu: (site, x) => site.emit('Mul', [x, site.emit('Sigmoid', [x])]),
};

/** x [..., C]; the activation comes before the second transpose, beside what it may be fused with. */
export function batchNorm(site: Site): string {
  const [first, ...others] = indices(site.extents('x').length);
  const channels = others.length;
  const isFlat = channels === 1;
  const transposed = (x: string, ...perm: readonly number[]) =>
    isFlat ? x : site.emit('Transpose', [x], { perm: ints(first, ...perm) });
  const x = transposed(site.input('x'), channels, ...others.slice(0, -1));
  const operands = (['gamma', 'beta', 'mean', 'variance'] as const).map((key) => site.input(key));
  const y = site.emit('BatchNormalization', [x, ...operands], {
    epsilon: float(site.number('eps')),
  });
  const activation = ACTIVATIONS[site.node.params.activation as Activation];
  return transposed(activation(site, y), ...others.slice(1), 1);
}
