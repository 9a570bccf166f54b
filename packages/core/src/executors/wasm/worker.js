// @ts-check
/**
 * One thread of the WebAssembly executor, in a browser's Worker or Node's worker_threads. Plain
 * JavaScript: it is loaded by URL, from the sources in tests and from dist otherwise (the build
 * copies it).
 *
 * @typedef {import('./protocol.js').Request} Request
 * @typedef {import('./protocol.js').StartRequest} StartRequest
 * @typedef {import('./protocol.js').Reply} Reply
 */

/**
 * What a Worker's global scope and Node's MessagePort have in common.
 *
 * @typedef {{ onmessage: unknown, postMessage(reply: Reply): void }} Port
 */
const scope =
  globalThis.process?.getBuiltinModule?.('node:worker_threads').parentPort ?? globalThis;
const port = /** @type {Port} */ (/** @type {unknown} */ (scope));

/**
 * @typedef {(to: number, from: number, count: number, repeats: number) => number} Peak
 * @type {{ run: (words: number) => void, peak: Peak, memory: WebAssembly.Memory } | null}
 */
let thread = null;

port.onmessage = (/** @type {{ data: Request }} */ { data }) => {
  /** @type {Reply | null} */
  let reply;
  try {
    reply = answer(data);
  } catch (error) {
    reply = { kind: 'failed', message: String(error) };
  }
  if (reply !== null) port.postMessage(reply);
};

/**
 * @param {Request} request
 * @returns {Reply | null}
 */
function answer(request) {
  if (request.kind === 'start') {
    thread = start(request);
    return { kind: 'ready' };
  }
  if (thread === null) throw new Error(`${request.kind} before start`);
  const { run, peak, memory } = thread;
  switch (request.kind) {
    case 'run': {
      const begin = performance.now();
      run(request.words);
      return { kind: 'done', milliseconds: performance.now() - begin };
    }
    case 'peak': {
      const { to, from, count, repeats } = request;
      // The first touch of the memory is not part of the measurement.
      new Float32Array(memory.buffer, to, 2 * count).fill(1);
      const begin = performance.now();
      const work = peak(to, from, count, repeats);
      return { kind: 'peaked', work, milliseconds: performance.now() - begin };
    }
    case 'write':
      new Uint8Array(memory.buffer).set(request.bytes, request.address);
      return null;
    case 'read': {
      const bytes = new Uint8Array(memory.buffer, request.address, request.length).slice();
      return { kind: 'bytes', bytes };
    }
  }
}

/**
 * Instantiates the kernels over the memory, with a stack and a Context of this thread's own.
 *
 * @param {StartRequest} request
 */
function start(request) {
  const { pages, arena, scratch, scratchBytes, thread, threads, barrier, context } = request;
  const memory =
    request.memory ?? new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { exports } = new WebAssembly.Instance(request.module, { env: { memory } });
  /** @type {WebAssembly.Global} */ (exports.__stack_pointer).value = request.stackTop;
  const run = /** @type {(context: number, words: number) => void} */ (exports.thimble_run_base);
  // struct Context in kernels/kernel.h; wait and wake are for native threads.
  const fields = [arena, scratch, scratchBytes, thread, threads, barrier, 0, 0];
  new Int32Array(memory.buffer, context, fields.length).set(fields);
  const peak = /** @type {Peak} */ (exports.thimble_peak_base);
  return { run: (/** @type {number} */ words) => run(context, words), peak, memory };
}
