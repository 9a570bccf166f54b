/** Everything that reads what somebody else wrote. */
import type { Target } from '../campaign.js';
import { images } from './images.js';
import { safetensors } from './safetensors.js';

export const TARGETS: readonly Target[] = [safetensors, images];
