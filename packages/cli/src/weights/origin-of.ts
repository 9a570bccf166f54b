/** What a run's record says of the weights that it started from. */
import type { Origin } from '../origin.js';
import type { Start } from '../start.js';
import { hashedFiles } from './files.js';

/** Where a start came from, with the hashes of its files. */
export function originOf({ text: from, path, description, hub }: Start): Origin {
  const files = hashedFiles(path);
  if (!hub) return { from, description, files };
  return { from, description, hub: { name: hub.reference.name, commit: hub.commit }, files };
}
