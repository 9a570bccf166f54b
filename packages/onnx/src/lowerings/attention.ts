/**
 * Attention in parts. Legend: B batch (for Swin, windows of all images), N tokens, D width, H
 * heads, d = D/H, W windows of an image.
 *
 * The scale is applied to the queries, so that the scores stay small in half precision; runtimes
 * fold it into the product.
 */
import { int, ints } from '../graph.js';
import type { Site } from '../site.js';

/** Added to the scores of two tokens that do not see each other. */
const MASK = -100;

/** y = softmax(q kᵀ/√d + bias + mask) v per head; qkv [B, N, 3D]. */
export function attention(site: Site): string {
  const heads = site.number('heads');
  const [, tokens, threeWidths] = site.fixed('qkv');
  const width = threeWidths / 3;
  const headDim = width / heads;
  const [q, k, v] = site.emitAll(
    'Split',
    [site.input('qkv'), site.ints(width, width, width)],
    { axis: int(2) },
    3,
  );
  const perHead = (x: string, ...order: readonly number[]) =>
    site.emit('Transpose', [site.reshape(x, -1, tokens, heads, headDim)], { perm: ints(...order) });
  const queries = site.emit('Mul', [perHead(q, 0, 2, 1, 3), site.scalar(1 / Math.sqrt(headDim))]);
  const scores = site.emit('MatMul', [queries, perHead(k, 0, 2, 3, 1)]); // [B, H, N, N]
  const weights = site.emit('Softmax', [biased(site, scores)], { axis: int(-1) });
  const mixed = site.emit('MatMul', [weights, perHead(v, 0, 2, 1, 3)]); // [B, H, N, d]
  const together = site.emit('Transpose', [mixed], { perm: ints(0, 2, 1, 3) });
  return site.reshape(together, -1, tokens, width);
}

/** The scores [B, H, N, N] with what is added to them before the softmax. */
function biased(site: Site, scores: string): string {
  const bias = site.has('bias') ? site.input('bias') : null; // [H, N, N]
  if (site.node.params.shift === undefined) {
    return bias === null ? scores : site.emit('Add', [scores, bias]);
  }
  const heads = site.number('heads');
  const [, tokens] = site.fixed('qkv');
  const { name, windows } = mask(site, tokens);
  // Both are constants, which a runtime adds once when it loads the model: [W, H, N, N].
  const added = bias === null ? name : site.emit('Add', [name, bias]);
  const perImage = site.reshape(scores, -1, windows, heads, tokens, tokens);
  return site.reshape(site.emit('Add', [perImage, added]), -1, heads, tokens, tokens);
}

/**
 * The mask [W, 1, N, N] of shifted windows: tokens that the shift has brought together from
 * opposite edges of the image. In the last row and column of windows the cut runs `shift` tokens
 * before the end.
 */
function mask(site: Site, tokens: number): { readonly name: string; readonly windows: number } {
  const window = Math.round(Math.sqrt(tokens));
  const shift = site.number('shift');
  const rows = site.number('height') / window;
  const columns = site.number('width') / window;
  const windows = rows * columns;
  const cut = window - shift;
  const make = () => {
    const result = new Float32Array(windows * tokens * tokens);
    let at = 0;
    for (let index = 0; index < windows; index++) {
      const lastRow = Math.floor(index / columns) === rows - 1;
      const lastColumn = index % columns === columns - 1;
      for (let i = 0; i < tokens; i++) {
        for (let j = 0; j < tokens; j++) {
          const apart =
            (lastRow && Math.floor(i / window) >= cut !== Math.floor(j / window) >= cut) ||
            (lastColumn && i % window >= cut !== j % window >= cut);
          result[at++] = apart ? MASK : 0;
        }
      }
    }
    return result;
  };
  const name = `mask/${[rows, columns, window, shift].join('x')}`;
  return { name: site.floats(name, [windows, 1, tokens, tokens], make), windows };
}

/** y[h, i, j] = table[displacement of i and j, h]; constants, which a runtime gathers once. */
export function relativePositionBias(site: Site): string {
  const window = site.number('window');
  const tokens = window ** 2;
  const side = 2 * window - 1;
  const make = () => {
    const rows: number[] = [];
    for (let i = 0; i < tokens; i++) {
      for (let j = 0; j < tokens; j++) {
        const down = Math.floor(i / window) - Math.floor(j / window) + window - 1;
        rows.push(down * side + (i % window) - (j % window) + window - 1);
      }
    }
    return rows;
  };
  const index = site.table(`displacements/${String(window)}`, [tokens, tokens], make);
  const gathered = site.emit('Gather', [site.input('table'), index], { axis: int(0) });
  return site.emit('Transpose', [gathered], { perm: ints(2, 0, 1) });
}
