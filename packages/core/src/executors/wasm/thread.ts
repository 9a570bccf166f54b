/**
 * A worker thread as a queue of requests and replies, the same for Node's worker_threads and for a
 * browser's Worker.
 *
 * In Node an idle thread does not keep the process alive; one with an unanswered request does.
 */
import { ExecutorError } from '../../errors.js';
import { isNode } from './node.js';
import type { Reply, Request } from './protocol.js';

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: ExecutorError) => void;
}

export class Thread {
  private readonly platform: PlatformWorker;
  private readonly waiting: Waiting[] = [];
  /** Set once the thread can answer no more. */
  private failure: ExecutorError | null = null;

  constructor() {
    const events: WorkerEvents = {
      reply: (reply) => {
        this.receive(reply);
      },
      failure: (message) => {
        this.fail(message);
      },
    };
    // The two forms of starting a worker stay literal: bundlers look for them.
    this.platform = isNode() ? nodeWorker(events) : webWorker(events);
    this.platform.keepAlive(false);
  }

  /** Sends a request without a reply. */
  send(request: Request): void {
    this.platform.post(request);
  }

  /** Sends a request; rejects with ExecutorError when the thread fails or ends before it answers.
   * */
  request(request: Request): Promise<Reply> {
    if (this.failure) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.platform.keepAlive(true);
      this.platform.post(request);
    });
  }

  /** Ends the thread; requests under way are rejected. */
  async end(): Promise<void> {
    this.fail('the executor was disposed');
    await this.platform.terminate();
  }

  private receive(reply: Reply): void {
    if (reply.kind === 'failed') {
      this.fail(reply.message);
      return;
    }
    this.waiting.shift()?.resolve(reply);
    if (this.waiting.length === 0) this.platform.keepAlive(false);
  }

  private fail(message: string): void {
    this.failure ??= new ExecutorError({
      where: 'executor wasm',
      expected: 'a worker thread that answers',
      got: message,
      todo: 'Load the program again; if it happens again, report it with the printed program',
    });
    for (const waiting of this.waiting.splice(0)) waiting.reject(this.failure);
    this.platform.keepAlive(false);
  }
}

interface WorkerEvents {
  reply(reply: Reply): void;
  failure(message: string): void;
}

interface PlatformWorker {
  post(request: Request): void;
  /** Whether the thread keeps the process from ending; browsers have no such notion. */
  keepAlive(yes: boolean): void;
  terminate(): Promise<void>;
}

function webWorker(events: WorkerEvents): PlatformWorker {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }) => {
    events.reply(data as Reply);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    events.failure(event.message);
  };
  worker.onmessageerror = () => {
    events.failure('a message that could not be read');
  };
  return {
    post: (request) => {
      worker.postMessage(request);
    },
    keepAlive: () => undefined,
    terminate: () => {
      worker.terminate();
      return Promise.resolve();
    },
  };
}

function nodeWorker(events: WorkerEvents): PlatformWorker {
  const threads = process.getBuiltinModule('node:worker_threads');
  const worker = new threads.Worker(new URL('./worker.js', import.meta.url), { execArgv: [] });
  worker.on('message', (reply: Reply) => {
    events.reply(reply);
  });
  worker.on('error', (error: Error) => {
    events.failure(error.message);
  });
  worker.on('exit', () => {
    events.failure('a thread that ended');
  });
  return {
    post: (request) => {
      worker.postMessage(request);
    },
    keepAlive: (yes) => {
      if (yes) worker.ref();
      else worker.unref();
    },
    terminate: async () => {
      await worker.terminate();
    },
  };
}
