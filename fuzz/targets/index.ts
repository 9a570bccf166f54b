/** Everything that reads what somebody else wrote. */
import type { Target } from '../campaign.js';
import { safetensors } from './safetensors.js';

export const TARGETS: readonly Target[] = [safetensors];
