/** What a run's record says of the weights that it started from. */
import type { Origin } from '../run/origin.js';
import type { Start } from './start.js';

/** Where a start came from, with the hashes of its files. */
export function originOf({ text: from, description, hub, hashes }: Start): Origin {
  const files = hashes();
  if (!hub) return { from, description, files };
  return { from, description, hub: { name: hub.reference.name, commit: hub.commit }, files };
}
