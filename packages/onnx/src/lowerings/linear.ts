/**
 * Products, norms and what happens element by element.
 *
 * GELU is written in the parts x/√2, erf, +1, ·x, ·½ that onnxruntime recognises and runs as one.
 */
import { GraphError, isParameter } from '@thimble/core';
import { float, int, ints } from '../graph.js';
import type { Site } from '../site.js';
import type { ChannelsFirst, Lowered } from '../value-names.js';

/** y = gelu?(op(a) · op(b) + bias) + residual. */
export function matmul(site: Site): Lowered {
  if (isPointwise(site)) return pointwise(site);
  let y = site.emit('MatMul', site.flag('batched') ? batchedOperands(site) : foldedOperands(site));
  if (site.has('bias')) y = site.emit('Add', [y, site.input('bias')]);
  if (site.flag('gelu')) y = geluOf(site, y);
  return site.has('residual') ? site.emit('Add', [y, site.input('residual')]) : y;
}

/** Whether it is a convolution of one pixel: of an image, with a weight [O, I] or [O, I, 1, 1]. */
function isPointwise(site: Site): boolean {
  const b = site.value('b');
  const isKernel = isParameter(b) && b.type.shape.slice(2).every((extent) => extent === 1);
  return site.isImage('a') && isKernel && site.flag('transB') && !site.flag('transA');
}

function pointwise(site: Site): ChannelsFirst {
  const b = site.value('b');
  if (!isParameter(b)) throw overBatch(site);
  const bias = site.has('bias') ? [site.input('bias')] : [];
  let y = site.emit('Conv', [site.image('a'), site.kernel(b), ...bias]);
  if (site.flag('gelu')) y = geluOf(site, y);
  if (site.has('residual')) y = site.emit('Add', [y, site.image('residual')]);
  return { channelsFirst: y };
}

/** a [..., K] and b as the matrix [K, O]; a weight [O, ...] is stored transposed. */
function foldedOperands(site: Site): readonly string[] {
  if (site.flag('transA')) throw overBatch(site);
  const a = site.input('a');
  const b = site.value('b');
  if (isParameter(b) && site.flag('transB')) return [a, site.transposed(b)];
  const [first, ...rest] = site.fixed('b');
  if ([first, ...rest].some(Number.isNaN)) throw overBatch(site);
  const columns = rest.reduce((product, extent) => product * extent, 1);
  const matrix =
    rest.length === 1 ? site.input('b') : site.reshape(site.input('b'), first, columns);
  return [a, site.flag('transB') ? site.emit('Transpose', [matrix], { perm: ints(1, 0) }) : matrix];
}

function batchedOperands(site: Site): readonly string[] {
  return (['a', 'b'] as const).map((operand) => {
    const x = site.input(operand);
    if (!site.flag(operand === 'a' ? 'transA' : 'transB')) return x;
    const axes = site.extents(operand).length;
    const order = site.extents(operand).map((_, axis) => axis);
    return site.emit('Transpose', [x], {
      perm: ints(...order.slice(0, -2), axes - 1, axes - 2),
    });
  });
}

function overBatch(site: Site): GraphError {
  return new GraphError({
    where: `node ${site.node.name}`,
    expected: 'a product whose right side is a matrix of fixed size, as a forward pass has',
    got: 'one that sums over the images of the batch',
    todo: 'Export the forward graph of a model, without its gradient',
  });
}

export function gelu(site: Site): string {
  return geluOf(site, site.input('x'));
}

function geluOf(site: Site, x: string): string {
  const scaled = site.emit('Div', [x, site.scalar(Math.SQRT2)]);
  const oneMore = site.emit('Add', [site.emit('Erf', [scaled]), site.scalar(1)]);
  return site.emit('Mul', [site.emit('Mul', [x, oneMore]), site.scalar(0.5)]);
}

export function layernorm(site: Site): string {
  const operands = (['x', 'gamma', 'beta'] as const).map((operand) => site.input(operand));
  return site.emit('LayerNormalization', operands, {
    axis: int(-1),
    epsilon: float(site.number('eps')),
  });
}

/** b is repeated over leading axes. */
export function add(site: Site): Lowered {
  const [a, b] = [site.extents('a').length, site.extents('b').length];
  if (a === 4 && b === 4 && (site.isImage('a') || site.isImage('b'))) {
    return { channelsFirst: site.emit('Add', [site.image('a'), site.image('b')]) };
  }
  return site.emit('Add', [site.input('a'), site.input('b')]);
}

export function scale(site: Site): Lowered {
  const factor = site.scalar(site.number('factor'));
  if (site.isImage('x')) return { channelsFirst: site.emit('Mul', [site.image('x'), factor]) };
  return site.emit('Mul', [site.input('x'), factor]);
}

/** b has a's shape, or one number for each row of a. */
export function multiply(site: Site): string {
  const [a, b] = [site.extents('a').length, site.extents('b').length];
  const factor =
    a === b ? site.input('b') : site.emit('Unsqueeze', [site.input('b'), site.ints(-1)]);
  return site.emit('Mul', [site.input('a'), factor]);
}
