/** The process of jax.ts. Speaks steps/protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../steps/serve.js';
import { loadJax } from './jax.js';

await serveSteps(loadJax);
