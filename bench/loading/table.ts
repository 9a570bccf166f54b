/** The share of the time in which two threads train, for people. */
import { markdownTable, number, percent } from '../harness/table.js';
import { busy, type LoadingRow } from './measure.js';

export function loadingTable(rows: readonly LoadingRow[]): string {
  return markdownTable(
    ['model', 'photos', 'read', '>busy, first epoch', '>later epochs', '>an epoch, beside whole'],
    rows.map((row) => {
      const [first, later] = busy(row.epochs);
      const whole = rows.find(
        ({ model, photos, reading }) =>
          model === row.model && photos === row.photos && reading === 'whole photos',
      );
      const beside = whole ? number(laterSeconds(row) / laterSeconds(whole)) : '–';
      return [row.model, row.photos, row.reading, percent(first), percent(later), beside];
    }),
  );
}

function laterSeconds({ epochs }: LoadingRow): number {
  return epochs.slice(1).reduce((sum, { seconds }) => sum + seconds, 0);
}
