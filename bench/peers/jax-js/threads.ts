/**
 * What jax-js looks for before it starts threads, and Node lacks: the Worker of browsers and the
 * number of processors. To be called before jax-js is loaded.
 */
import { Worker as NodeWorker } from 'node:worker_threads';

interface Message {
  readonly data: unknown;
}

/** As much of a browser's Worker as jax-js uses: a module from a blob, and messages. */
class BrowserWorker {
  onmessage: ((message: Message) => void) | null = null;
  onerror: ((error: Error) => void) | null = null;
  private readonly waiting: unknown[] = [];
  private worker: NodeWorker | null = null;

  constructor(url: string) {
    void this.start(url);
  }

  postMessage(message: unknown): void {
    if (this.worker) this.worker.postMessage(message);
    else this.waiting.push(message);
  }

  private async start(url: string): Promise<void> {
    const source = await (await fetch(url)).text();
    this.worker = new NodeWorker(`${PRELUDE}${source}`, { eval: true });
    this.worker.on('message', (data: unknown) => this.onmessage?.({ data }));
    this.worker.on('error', (error) => this.onerror?.(error));
    this.worker.unref();
    for (const message of this.waiting) this.worker.postMessage(message);
  }
}

/** What the source of the worker expects to find. */
const PRELUDE = `
const { parentPort } = require('node:worker_threads');
const self = globalThis;
const postMessage = (data) => parentPort.postMessage(data);
parentPort.on('message', (data) => self.onmessage({ data }));
`;

/** Makes jax-js start `threads` workers. */
export function offerThreads(threads: number): void {
  Object.defineProperty(globalThis, 'Worker', { value: BrowserWorker, configurable: true });
  Object.defineProperty(globalThis, 'navigator', {
    value: { hardwareConcurrency: threads },
    configurable: true,
  });
}
