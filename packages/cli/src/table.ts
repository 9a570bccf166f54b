/** Plain tables: no colours, no lines but one under the head, numbers to the right. */
import Table from 'cli-table3';
import { inOneLine } from './terminal.js';

/** A column title that starts with `>` is aligned to the right. */
export function tableText(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  const table = new Table({
    head: head.map((title) => title.replace(/^>/, '')),
    colAligns: head.map((title) => (title.startsWith('>') ? 'right' : 'left')),
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '  ',
    },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(
    ...rows.map((row) => row.map((cell) => (typeof cell === 'string' ? inOneLine(cell) : cell))),
  );
  return table.toString();
}
