/** What of a folder was not used, and why: counted by reason, with a few examples for people. */
import { inOneLine } from '../terminal/terminal.js';

/** Every reason, as the words behind a count: for one and for several. */
const REASONS = {
  format: ['picture in a format that is not read', 'pictures in a format that is not read'],
  other: ['file that is no picture', 'files that are no pictures'],
  system: ['hidden or system file or folder', 'hidden or system files and folders'],
  name: ['name that is not UTF-8', 'names that are not UTF-8'],
  special: ['pipe, socket or device', 'pipes, sockets or devices'],
  dangling: ['link to nothing', 'links to nothing'],
  circle: ['link to a folder around it', 'links to a folder around them'],
  repeated: ['link to something that is there already', 'links to something that is there already'],
  stray: ['picture beside the class folders', 'pictures beside the class folders'],
  side: ['folder without pictures', 'folders without pictures'],
  unused: ['folder of the split that is not used', 'folders of the split that are not used'],
  limit: ['image beyond --limit', 'images beyond --limit'],
  empty: [
    'class folder of which nothing can be read',
    'class folders of which nothing can be read',
  ],
} as const;

export type Reason = keyof typeof REASONS;

export interface LeftOutGroup {
  readonly reason: Reason;
  /** Extension of a format; '' for other reasons. */
  readonly extension: string;
  readonly count: number;
  /** The first paths. */
  readonly examples: readonly string[];
}

/** Paths of a group that are kept. */
const EXAMPLES = 3;

export class LeftOut {
  private readonly found = new Map<string, LeftOutGroup & { count: number; examples: string[] }>();

  add(reason: Reason, path: string, extension = ''): void {
    const key = `${reason} ${extension}`;
    const group = this.found.get(key) ?? { reason, extension, count: 0, examples: [] };
    this.found.set(key, group);
    group.count++;
    if (group.examples.length < EXAMPLES) group.examples.push(path);
  }

  /** How many were left out for a reason. */
  count(reason: Reason): number {
    const counts = this.groups.filter((group) => group.reason === reason);
    return counts.reduce((sum, { count }) => sum + count, 0);
  }

  /** In the order of REASONS, larger groups first. */
  get groups(): readonly LeftOutGroup[] {
    const order = Object.keys(REASONS);
    return [...this.found.values()].sort(
      (a, b) => order.indexOf(a.reason) - order.indexOf(b.reason) || b.count - a.count,
    );
  }

  /** A line for each reason: `2 pictures in a format that is not read, .heic: a/1.heic, a/2.heic`. */
  get lines(): readonly string[] {
    return this.groups.map((group) => {
      const { reason, extension, count, examples } = group;
      const [one, several] = REASONS[reason];
      const what = `${String(count)} ${count === 1 ? one : several}`;
      const format = extension === '' ? '' : `, .${extension}`;
      const shown = examples.map(inOneLine).join(', ');
      return `${what}${format}: ${shown}${count > examples.length ? ', …' : ''}`;
    });
  }
}
