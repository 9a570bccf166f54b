/**
 * Ops that move tokens or reduce over them. Legend: B batch, N tokens, D width, C channels, p
 * patch, w window; -1 stands for the batch in a Reshape.
 */
import { int, ints } from '../graph.js';
import { indices, type Site } from '../site.js';

/** [a ; b] along the tokens; a row of tokens for all images is repeated over the batch. */
export function concatTokens(site: Site): string {
  const b = site.input('b');
  const [rows] = site.extents('a');
  const [images] = site.extents('b');
  const shared = !rows.perImage && rows.count === 1 && (images.perImage || images.count > 1);
  const a = shared ? overBatch(site, site.input('a'), b) : site.input('a');
  return site.emit('Concat', [a, b], { axis: int(1) });
}

/** x [1, …] as [B, …], B that of `like`. */
function overBatch(site: Site, x: string, like: string): string {
  const batch = site.emit('Shape', [like], { start: int(0), end: int(1) });
  const shape = site.emit('Concat', [batch, site.ints(1, 1)], { axis: int(0) });
  return site.emit('Expand', [x, shape]);
}

export function sliceTokens(site: Site): string {
  const start = site.number('start');
  const end = start + site.number('count');
  const bounds = [start, end, 1].map((value) => site.ints(value));
  return site.emit('Slice', [site.input('x'), ...bounds]);
}

export function padTokens(site: Site): string {
  const [, count] = site.fixed('x');
  const start = site.number('start');
  const after = site.number('tokens') - start - count;
  return site.emit('Pad', [site.input('x'), site.ints(0, start, 0, 0, after, 0)]);
}

export function meanTokens(site: Site): string {
  const pixels = site.producer('x');
  if (pixels?.node.op === 'reshape' && pixels.isImage('x')) {
    const image = pixels.image('x');
    return site.emit('ReduceMean', [image], { axes: ints(2, 3), keepdims: int(0) });
  }
  return site.emit('ReduceMean', [site.input('x')], { axes: ints(1), keepdims: int(0) });
}

export function broadcastTokens(site: Site): string {
  const rows = site.emit('Unsqueeze', [site.input('x'), site.ints(1)]);
  const repeated = site.emit('Expand', [rows, site.ints(1, site.number('tokens'), 1)]);
  return site.emit('Mul', [repeated, site.scalar(site.number('scale'))]);
}

/** The same elements under the extents of y. */
export function reshape(site: Site): string {
  const shape = site.extents('y').map(({ count, perImage }) => (perImage ? -1 : count));
  return site.reshape(site.input('x'), ...shape);
}

/** Images [B, C, H, W] ↔ patches [B, N, Cp²]. */
export function patchify(site: Site): string {
  const [patch, channels, height, width] = ['patch', 'channels', 'height', 'width'].map((key) =>
    site.number(key),
  );
  const [down, across] = [height / patch, width / patch];
  const x = site.input('x');
  if (site.flag('inverse')) {
    const cut = site.reshape(x, -1, down, across, channels, patch, patch);
    const joined = site.emit('Transpose', [cut], { perm: ints(0, 3, 1, 4, 2, 5) });
    return site.reshape(joined, -1, channels, height, width);
  }
  const cut = site.reshape(x, -1, channels, down, patch, across, patch);
  const rows = site.emit('Transpose', [cut], { perm: ints(0, 2, 4, 1, 3, 5) });
  return site.reshape(rows, -1, down * across, channels * patch ** 2);
}

/**
 * Images [B, H, W, C] ↔ windows [B·HW/w², w², C]: shifting and cutting are one permutation of an
 * image's tokens, so one Gather of rows does both.
 */
export function windows(site: Site): string {
  const layout = {
    window: site.number('window'),
    shift: site.number('shift'),
    height: site.number('height'),
    width: site.number('width'),
    columnMajor: site.flag('columnMajor'),
  };
  const { window, shift, height, width, columnMajor } = layout;
  const inverse = site.flag('inverse');
  const [channels] = site.fixed('x').slice(-1);
  const tokens = height * width;
  const sizes = [height, width, window, shift].join('x');
  const name = `windows/${sizes}${columnMajor ? '/columns' : ''}${inverse ? '/back' : ''}`;
  const make = () => (inverse ? inverted(tokenOrder(layout)) : tokenOrder(layout));
  const order = site.table(name, [tokens], make);
  const rows = site.reshape(site.input('x'), -1, tokens, channels);
  const moved = site.emit('Gather', [rows, order], { axis: int(1) });
  const y = inverse
    ? site.reshape(moved, -1, height, width, channels)
    : site.reshape(moved, -1, window ** 2, channels);
  return site.has('residual') ? site.emit('Add', [y, site.input('residual')]) : y;
}

interface Layout {
  readonly window: number;
  readonly shift: number;
  readonly height: number;
  readonly width: number;
  readonly columnMajor: boolean;
}

/** For each place in the windows, the token of the image that is there. */
function tokenOrder({ window, shift, height, width, columnMajor }: Layout): readonly number[] {
  const order: number[] = [];
  for (let top = 0; top < height; top += window) {
    for (let left = 0; left < width; left += window) {
      for (let token = 0; token < window ** 2; token++) {
        const [major, minor] = [Math.floor(token / window), token % window];
        const [row, column] = columnMajor ? [minor, major] : [major, minor];
        const down = (top + row + shift) % height;
        order.push(down * width + ((left + column + shift) % width));
      }
    }
  }
  return order;
}

function inverted(order: readonly number[]): readonly number[] {
  const result = order.map(() => 0);
  for (const place of indices(order.length)) result[order[place]] = place;
  return result;
}
