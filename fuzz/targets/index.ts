/** Everything that reads what somebody else wrote. */
import type { Target } from '../campaign.js';
import { CHECKPOINTS } from './checkpoints.js';
import { hub } from './hub.js';
import { images } from './images.js';
import { MANIFESTS } from './manifests.js';
import { programs } from './programs.js';
import { RUNS } from './runs.js';
import { safetensors } from './safetensors.js';
import { words } from './words.js';

export const TARGETS: readonly Target[] = [
  programs,
  words,
  safetensors,
  ...RUNS,
  ...CHECKPOINTS,
  hub,
  images,
  ...MANIFESTS,
];
