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
  for (const row of rows) {
    table.push(row.map((cell) => (typeof cell === 'string' ? inOneLine(cell) : cell)));
  }
  return table.toString();
}

/** Characters to which a column of a long table is filled up; what is longer moves the rest of its line. */
const MAX_WIDTH = 100;

/**
 * The lines of a table that may have any number of rows: as `tableText`, in time and memory that grow with
 * them, without the widths of wide characters.
 */
export function* tableLines(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): Generator<string> {
  const titles = head.map((title) => title.replace(/^>/, ''));
  const widths = titles.map(({ length }) => length);
  for (const row of rows) {
    row.forEach((cell, column) => {
      const { length } = inOneLine(String(cell));
      if (length > widths[column]) widths[column] = Math.min(length, MAX_WIDTH);
    });
  }
  for (const row of [titles, ...rows]) {
    const cells = row.map((cell, column) => {
      const text = inOneLine(String(cell));
      const isRight = head[column].startsWith('>');
      return isRight ? text.padStart(widths[column]) : text.padEnd(widths[column]);
    });
    yield cells.join('  ').trimEnd();
  }
}
