/** The process of node.ts. Speaks steps/protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../steps/serve.js';
import { loadNode } from './node.js';

await serveSteps(loadNode);
