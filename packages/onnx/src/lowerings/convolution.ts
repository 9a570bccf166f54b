/**
 * Convolutions and pooling. ONNX has channels first: images and weights are transposed around each; a runtime folds
 * the transposed weights and cancels the transposes of images between one of these and the next.
 */
import { int, ints } from '../graph.js';
import type { Site } from '../site.js';

/** x [B, H, W, C] and w [KH, KW, C / G, O] as [B, C, H, W] and [O, C / G, KH, KW]. */
export function conv2d(site: Site): string {
  const x = channelsFirst(site);
  const w = site.emit('Transpose', [site.input('w')], { perm: ints(3, 2, 0, 1) });
  const bias = site.has('bias') ? [site.input('bias')] : [];
  const [stride, dilation] = [site.number('stride'), site.number('dilation')];
  const y = site.emit('Conv', [x, w, ...bias], {
    strides: ints(stride, stride),
    dilations: ints(dilation, dilation),
    pads: padsOf(site),
    group: int(site.number('groups')),
  });
  return toChannelsLast(site, y);
}

export function maxPool(site: Site): string {
  return toChannelsLast(site, site.emit('MaxPool', [channelsFirst(site)], windowsOf(site)));
}

export function averagePool(site: Site): string {
  const attributes = {
    ...windowsOf(site),
    count_include_pad: int(site.flag('countPadding') ? 1 : 0),
  };
  return toChannelsLast(site, site.emit('AveragePool', [channelsFirst(site)], attributes));
}

/** Images [B, C, H, W] to [B, H, W, C], or back. */
export function channelsLast(site: Site): string {
  return site.flag('inverse') ? channelsFirst(site) : toChannelsLast(site, site.input('x'));
}

/** Kernels [O, I, H, W] to [H, W, I, O], or back. */
export function hwio(site: Site): string {
  const perm = site.flag('inverse') ? ints(3, 2, 0, 1) : ints(2, 3, 1, 0);
  return site.emit('Transpose', [site.input('x')], { perm });
}

function windowsOf(site: Site) {
  const [kernel, stride] = [site.number('kernel'), site.number('stride')];
  return {
    kernel_shape: ints(kernel, kernel),
    strides: ints(stride, stride),
    pads: padsOf(site),
  };
}

/** Before both axes, then after them. */
function padsOf(site: Site) {
  const sides = ['padTop', 'padLeft', 'padBottom', 'padRight'];
  return ints(...sides.map((side) => site.number(side)));
}

/** x [B, H, W, C] as [B, C, H, W]. */
function channelsFirst(site: Site): string {
  return site.emit('Transpose', [site.input('x')], { perm: ints(0, 3, 1, 2) });
}

function toChannelsLast(site: Site, x: string): string {
  return site.emit('Transpose', [x], { perm: ints(0, 2, 3, 1) });
}
