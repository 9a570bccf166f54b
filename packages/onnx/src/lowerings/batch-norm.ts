/** Batch normalisation with learnt statistics. ONNX has channels first. */
import type { OPS } from '@thimble/core';
import { float, ints } from '../graph.js';
import { indices, type Site } from '../site.js';
import type { Lowered } from '../value-names.js';

type Activation = Parameters<(typeof OPS)['batch_norm']['encode']>[1]['activation'];

const ACTIVATIONS: { readonly [K in Activation]: (site: Site, x: string) => string } = {
  none: (_site, x) => x,
  relu: (site, x) => site.emit('Relu', [x]),
  relu6: (site, x) => site.emit('Clip', [x, site.scalar(0), site.scalar(6)]),
  'hard-swish': (site, x) => site.emit('HardSwish', [x]),
  silu: (site, x) => site.emit('Mul', [x, site.emit('Sigmoid', [x])]),
};

/** x [..., C]; of an image with channels first, of anything else transposed around the norm. */
export function batchNorm(site: Site): Lowered {
  const axes = site.extents('x').length;
  if (axes === 4) return { channelsFirst: normed(site, site.image('x')) };
  if (axes === 2) return normed(site, site.input('x'));
  const [first, ...others] = indices(axes);
  const channels = others.length;
  const transposed = (x: string, ...perm: readonly number[]) =>
    site.emit('Transpose', [x], { perm: ints(first, ...perm) });
  const x = transposed(site.input('x'), channels, ...others.slice(0, -1));
  return transposed(normed(site, x), ...others.slice(1), 1);
}

/** x [B, C, …] */
function normed(site: Site, x: string): string {
  const operands = (['gamma', 'beta', 'mean', 'variance'] as const).map((key) => site.input(key));
  const y = site.emit('BatchNormalization', [x, ...operands], {
    epsilon: float(site.number('eps')),
  });
  return ACTIVATIONS[site.node.params.activation as Activation](site, y);
}
