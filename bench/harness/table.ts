/** Markdown tables whose columns also line up as plain text. */

/** A column title; one that starts with `>` has its cells to the right. */
export type ColumnTitle = string;

/**
 * The table as lines, each ending in a newline. A missing cell is empty; `|` in a cell is escaped.
 */
export function markdownTable(
  head: readonly ColumnTitle[],
  rows: readonly (readonly string[])[],
): string {
  const right = head.map((title) => title.startsWith('>'));
  const cells = [head.map((title) => title.replace(/^>/, '')), ...rows].map((row) =>
    head.map((_, column) => (row[column] ?? '').replaceAll('|', '\\|')),
  );
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column].length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => pad(cell, widths[i], right[i])).join(' | ')} |\n`;
  const rule = widths.map((width, i) => '-'.repeat(width - 1) + (right[i] ? ':' : '-'));
  return [line(cells[0]), line(rule), ...cells.slice(1).map(line)].join('');
}

/** `value` with about three significant digits and no exponent. */
export function number(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return value.toFixed(0);
  return value.toFixed(magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3);
}

/** 0.823 → `82 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

/** Bytes in millions, as memory is stated everywhere in Thimble: `12.3 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function pad(cell: string, width: number, right: boolean): string {
  return right ? cell.padStart(width) : cell.padEnd(width);
}
