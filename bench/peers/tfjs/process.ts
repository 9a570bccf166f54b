/** The process of tfjs.ts. Speaks harness/step-protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../harness/serve-steps.js';
import { loadTfjs } from './tfjs.js';

await serveSteps(loadTfjs);
// Emscripten's threads wait for work for ever.
process.exit();
