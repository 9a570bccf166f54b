/** The process of tfjs.ts. Speaks steps/protocol.ts. */
import '../../harness/small-process.js';
import { serveSteps } from '../../steps/serve.js';
import { loadTfjs } from './tfjs.js';

await serveSteps(loadTfjs);
// Emscripten's threads wait for work for ever.
process.exit();
