/**
 * The check of import directions. A *room* is a folder, or a file without its extension; a file belongs to the
 * longest room that its path starts with. A room may import itself and the rooms that its line names, all of them
 * where its line is `EVERYTHING` (a public API, a main file). The lines themselves form no cycle.
 */

/** Room → the rooms that it may import besides itself. */
export type Rooms = Readonly<Record<string, readonly string[] | typeof EVERYTHING>>;

export const EVERYTHING = 'everything';

/** Of one file by another; paths from the root of the repository, with `.ts`. */
export interface Import {
  readonly from: string;
  readonly to: string;
}

/** What is wrong with the imports within `folder`, one line for each. */
export function directionProblems(
  folder: string,
  rooms: Rooms,
  imports: readonly Import[],
): readonly string[] {
  const lines = imports.flatMap(({ from, to }) => {
    if (!to.startsWith(`${folder}/`)) return [`${from} imports ${to}: outside ${folder}`];
    const [source, target] = [roomOf(folder, rooms, from), roomOf(folder, rooms, to)];
    if (source === null) return [`${from}: no room; give it a line in scripts/layers.ts`];
    if (target === null) return [`${to}: no room; give it a line in scripts/layers.ts`];
    const allowed = rooms[source];
    if (source === target || allowed === EVERYTHING || allowed.includes(target)) return [];
    return [`${from} imports ${to}: ${source} may not use ${target}`];
  });
  return [...new Set([...lines, ...lineProblems(folder, rooms)])];
}

/** Rooms that one of them must not reach, not even through others. */
export interface Reach {
  readonly folder: string;
  readonly rooms: Rooms;
  readonly from: string;
  readonly never: readonly string[];
}

/** The ways on which `from` reaches what it must not, one line for each room. */
export function reachProblems({ folder, rooms, from, never }: Reach): readonly string[] {
  const ways = new Map<string, readonly string[]>([[from, [from]]]);
  for (const [room, way] of ways) {
    const allowed = rooms[room];
    for (const next of allowed === EVERYTHING ? Object.keys(rooms) : allowed) {
      if (!ways.has(next)) ways.set(next, [...way, next]); // which the loop comes to in its turn
    }
  }
  return never
    .filter((room) => ways.has(room))
    .map(
      (room) => `${folder}: ${from} must not reach ${room}: ${(ways.get(room) ?? []).join(' → ')}`,
    );
}

/** A line names rooms that exist, and none from which its own room can be reached. */
function lineProblems(folder: string, rooms: Rooms): readonly string[] {
  const below = Object.fromEntries(
    Object.entries(rooms).map(([room, allowed]) => [room, allowed === EVERYTHING ? [] : allowed]),
  );
  const unknown = Object.entries(below).flatMap(([room, allowed]) =>
    allowed
      .filter((other) => !Object.hasOwn(rooms, other))
      .map((other) => `${folder}: the line of ${room} names ${other}, which is no room`),
  );
  return [...unknown, ...cycles(below).map((path) => `${folder}: rooms in a cycle: ${path}`)];
}

/** The longest room that the path of `file` starts with; null for a file without one. */
function roomOf(folder: string, rooms: Rooms, file: string): string | null {
  const parts = file
    .slice(folder.length + 1)
    .replace(/\.ts$/, '')
    .split('/');
  for (let length = parts.length; length > 0; length--) {
    const room = parts.slice(0, length).join('/');
    if (Object.hasOwn(rooms, room)) return room;
  }
  return null;
}

/** Every cycle that a walk along `edges` meets, as `a → b → a`. */
export function cycles(edges: Readonly<Record<string, readonly string[]>>): readonly string[] {
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (node: string, path: readonly string[]): void => {
    if (state.get(node) === 'done') return;
    if (state.get(node) === 'open') {
      found.push([...path.slice(path.indexOf(node)), node].join(' → '));
      return;
    }
    state.set(node, 'open');
    for (const next of edges[node] ?? []) visit(next, [...path, node]);
    state.set(node, 'done');
  };
  for (const node of Object.keys(edges)) visit(node, []);
  return found;
}
