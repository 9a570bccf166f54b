/** The process of node.ts. Speaks harness/step-protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../harness/serve-steps.js';
import { loadNode } from './node.js';

await serveSteps(loadNode);
