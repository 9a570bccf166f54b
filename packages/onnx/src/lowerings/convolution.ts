/** Convolutions and pooling. ONNX has channels first (value-names.ts), and kernels [O, I, H, W]. */
import { isCheckpointed } from '@thimble/core';
import { int, ints } from '../graph.js';
import type { Site } from '../site.js';
import type { ChannelsFirst, Lowered } from '../value-names.js';

/** x [B, H, W, C] and w [KH, KW, C / G, O] as [B, C, H, W] and [O, C / G, KH, KW]. */
export function conv2d(site: Site): ChannelsFirst {
  const bias = site.has('bias') ? [site.input('bias')] : [];
  const [stride, dilation] = [site.number('stride'), site.number('dilation')];
  const channelsFirst = site.emit('Conv', [site.image('x'), kernels(site), ...bias], {
    strides: ints(stride, stride),
    dilations: ints(dilation, dilation),
    pads: padsOf(site),
    group: int(site.number('groups')),
  });
  return { channelsFirst };
}

/** The kernels with outputs first: those of the checkpoint, where they were only brought into another order. */
function kernels(site: Site): string {
  const made = site.producer('w');
  if (made?.node.op === 'hwio' && !made.flag('inverse')) {
    const weight = made.value('x');
    if (isCheckpointed(weight)) return made.weight(weight);
  }
  return site.emit('Transpose', [site.input('w')], { perm: ints(3, 2, 0, 1) });
}

export function maxPool(site: Site): ChannelsFirst {
  return { channelsFirst: site.emit('MaxPool', [site.image('x')], windowsOf(site)) };
}

export function averagePool(site: Site): ChannelsFirst {
  const attributes = {
    ...windowsOf(site),
    count_include_pad: int(site.flag('countPadding') ? 1 : 0),
  };
  return { channelsFirst: site.emit('AveragePool', [site.image('x')], attributes) };
}

/** Images [B, C, H, W] to [B, H, W, C], or back: nothing happens until somebody reads them so. */
export function channelsLast(site: Site): Lowered {
  return site.flag('inverse') ? site.image('x') : { channelsFirst: site.input('x') };
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
