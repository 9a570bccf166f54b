/**
 * The peers of the step benchmark. To be listed is to be measured; the first one is the yardstick.
 */
import type { Peer } from './peer.js';
import { pytorch } from './pytorch.js';

export const PEERS: readonly Peer[] = [pytorch];
