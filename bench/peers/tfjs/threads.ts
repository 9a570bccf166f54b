/**
 * Threads for TensorFlow.js in Node, where it turns them off: its workers start from blobs, which
 * worker_threads does not read. They start from the package's files instead. To be called before
 * the backend is set up.
 */
import { createRequire } from 'node:module';
import { Worker as NodeWorker } from 'node:worker_threads';

const FOLDER = '@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm-threaded-simd';

/** Makes `Worker` start the package's worker, whatever Emscripten assigns to it. */
export function offerThreads(): void {
  const require = createRequire(import.meta.url);
  const { wasmWorkerContents: source } = require(`${FOLDER}.worker.js`) as {
    readonly wasmWorkerContents: string;
  };
  const script = require.resolve(`${FOLDER}.js`);
  class FileWorker extends NodeWorker {
    constructor() {
      super(source.replaceAll('\n', '\\n'), { eval: true });
    }

    override postMessage(message: { readonly cmd?: string }): void {
      super.postMessage(message.cmd === 'load' ? { ...message, urlOrBlob: script } : message);
    }
  }
  Object.defineProperty(globalThis, 'Worker', {
    configurable: true,
    get: () => FileWorker,
    set: () => undefined,
  });
}
