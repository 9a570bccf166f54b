/** Ops along the channels, which are the last axis, of images the second. */
import { int } from '../graph.js';
import type { Site } from '../site.js';
import type { Lowered } from '../value-names.js';

/** One factor for each image and channel, repeated over the pixels. */
export function scaleChannels(site: Site): Lowered {
  const isImage = site.isImage('x');
  const axes = isImage ? site.ints(2, 3) : site.ints(1, 2);
  const s = site.emit('Unsqueeze', [site.input('s'), axes]);
  if (isImage) return { channelsFirst: site.emit('Mul', [site.image('x'), s]) };
  return site.emit('Mul', [site.input('x'), s]);
}

export function concatChannels(site: Site): Lowered {
  if (site.isImage('a') && site.isImage('b')) {
    const both = [site.image('a'), site.image('b')];
    return { channelsFirst: site.emit('Concat', both, { axis: int(1) }) };
  }
  return site.emit('Concat', [site.input('a'), site.input('b')], { axis: int(-1) });
}

export function sliceChannels(site: Site): Lowered {
  const start = site.number('start');
  const end = start + site.number('count');
  const slice = (x: string, axis: number) =>
    site.emit('Slice', [x, site.ints(start), site.ints(end), site.ints(axis)]);
  if (site.isImage('x')) return { channelsFirst: slice(site.image('x'), 1) };
  return slice(site.input('x'), -1);
}
