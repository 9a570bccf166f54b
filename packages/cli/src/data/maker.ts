/**
 * Something that makes batches: this thread, or a worker thread.
 *
 * A worker that ends by itself (out of memory, a fault of its own) fails every batch that it was asked for, then
 * and later, with an error that names the image it was at. A crash of libvips is one of the whole process.
 */
import { DataError, type Images, type ThimbleError } from '@thimble/core';
import type { Garbage } from '@thimble/native';
import { Worker } from 'node:worker_threads';
import {
  BatchFiller,
  type BatchRequest,
  type FilledBatch,
  type LoaderSettings,
} from './loader-fill.js';
import type { WorkerData, WorkerReply, WorkerRequest } from './loader-worker.js';
import { receivedError } from './sent-error.js';
import { openSource } from './source.js';

export interface Maker {
  /** @param images the buffer to fill; it is part of the result */
  fill(request: BatchRequest, images: Images): Promise<FilledBatch>;
  close(): Promise<unknown>;
}

/** Makes batches in this thread, one after the other. @param garbage counts what is dropped in it */
export function ownMaker(settings: LoaderSettings, garbage: Garbage): Maker {
  const filler = new BatchFiller(settings, garbage);
  let last: Promise<unknown> = Promise.resolve();
  return {
    fill: (request, images) => {
      const filling = last.then(() => filler.fill(request, images));
      last = filling.catch(() => undefined);
      return filling;
    },
    close: () => last,
  };
}

interface Waiter {
  resolve(filled: FilledBatch): void;
  reject(error: Error): void;
}

/** @param file the compiled loader-worker.js */
export function workerMaker(file: URL, settings: LoaderSettings): Maker {
  const place = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(-1);
  const worker = new Worker(file, { workerData: { settings, place } satisfies WorkerData });
  const waiting = new Map<number, Waiter>();
  let asked = 0;
  let ended: Error | null = null;
  const end = (why: string) => {
    ended ??= workerEnded(settings, Atomics.load(place, 0), why);
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  worker.on('message', (reply: WorkerReply) => {
    const waiter = waiting.get(reply.id);
    waiting.delete(reply.id);
    if ('filled' in reply) waiter?.resolve(reply.filled);
    else waiter?.reject(receivedError(reply.failed));
  });
  worker.on('messageerror', (error) => {
    end(`a thread whose answer could not be read (${error.message})`);
  });
  worker.on('error', (error) => {
    end(reasonOf(error));
  });
  worker.on('exit', (code) => {
    end(`a thread that ended with code ${String(code)}`);
  });
  return {
    fill: (request, images) =>
      new Promise((resolve, reject) => {
        if (ended) {
          reject(ended);
          return;
        }
        const id = asked++;
        waiting.set(id, { resolve, reject });
        const message: WorkerRequest = { id, request, images };
        worker.postMessage(message, [images.buffer as ArrayBuffer]);
      }),
    close: () => worker.terminate(),
  };
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  if (code === 'ERR_WORKER_OUT_OF_MEMORY') return 'a thread that ran out of memory';
  return `a thread that failed (${error instanceof Error ? error.message : String(error)})`;
}

/** @param index of the image whose reading was begun last; −1: none */
function workerEnded({ source }: LoaderSettings, index: number, got: string): ThimbleError {
  return new DataError({
    where: index < 0 ? 'a worker' : openSource(source).name(index),
    expected: 'a thread that prepares images to go on',
    got,
    todo: 'Remove the image if it happens again, or prepare images in the main thread (--workers 0)',
  });
}
