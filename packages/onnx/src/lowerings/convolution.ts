/**
 * Convolutions. ONNX has channels first: images and weights are transposed around each; a runtime folds the
 * transposed weights and cancels the transposes of images between one convolution and the next.
 */
import { int, ints } from '../graph.js';
import type { Site } from '../site.js';

/** x [B, H, W, C] and w [KH, KW, C / G, O] as [B, C, H, W] and [O, C / G, KH, KW]. */
export function conv2d(site: Site): string {
  const x = site.emit('Transpose', [site.input('x')], { perm: ints(0, 3, 1, 2) });
  const w = site.emit('Transpose', [site.input('w')], { perm: ints(3, 2, 0, 1) });
  const bias = site.has('bias') ? [site.input('bias')] : [];
  const pads = ['padTop', 'padLeft', 'padBottom', 'padRight'].map((side) => site.number(side));
  const [stride, dilation] = [site.number('stride'), site.number('dilation')];
  const y = site.emit('Conv', [x, w, ...bias], {
    strides: ints(stride, stride),
    dilations: ints(dilation, dilation),
    pads: ints(...pads),
    group: int(site.number('groups')),
  });
  return site.emit('Transpose', [y], { perm: ints(0, 2, 3, 1) });
}
