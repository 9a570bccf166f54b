/** Everything that reads what somebody else wrote. */
import type { Target } from '../campaign.js';
import { CHECKPOINTS } from './checkpoints.js';
import { hub } from './hub.js';
import { images } from './images.js';
import { RUNS } from './runs.js';
import { safetensors } from './safetensors.js';

export const TARGETS: readonly Target[] = [safetensors, ...RUNS, ...CHECKPOINTS, hub, images];
