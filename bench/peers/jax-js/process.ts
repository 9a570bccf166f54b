/** The process of jax.ts. Speaks harness/step-protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../harness/serve-steps.js';
import { loadJax } from './jax.js';

await serveSteps(loadJax);
