/** Everything that reads what somebody else wrote. */
import type { Target } from '../campaign.js';
import { programs } from './programs.js';
import { safetensors } from './safetensors.js';
import { words } from './words.js';

export const TARGETS: readonly Target[] = [programs, safetensors, words];
