/** Ops along the channels, which are the last axis. */
import { int } from '../graph.js';
import type { Site } from '../site.js';

/** One factor for each image and channel, repeated over the pixels. */
export function scaleChannels(site: Site): string {
  const s = site.emit('Unsqueeze', [site.input('s'), site.ints(1, 2)]);
  return site.emit('Mul', [site.input('x'), s]);
}

export function concatChannels(site: Site): string {
  return site.emit('Concat', [site.input('a'), site.input('b')], { axis: int(-1) });
}

export function sliceChannels(site: Site): string {
  const start = site.number('start');
  const bounds = [start, start + site.number('count'), -1].map((value) => site.ints(value));
  return site.emit('Slice', [site.input('x'), ...bounds]);
}
