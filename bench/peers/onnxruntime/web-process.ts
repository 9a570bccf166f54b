/** The process of web.ts. Speaks harness/step-protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../harness/serve-steps.js';
import { loadWeb } from './web.js';

await serveSteps(loadWeb);
