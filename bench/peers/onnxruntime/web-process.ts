/** The process of web.ts. Speaks steps/protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../steps/serve.js';
import { loadWeb } from './web.js';

await serveSteps(loadWeb);
