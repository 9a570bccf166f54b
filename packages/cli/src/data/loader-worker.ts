/**
 * The body of a loader's worker thread: settings come as workerData, then each message asks for
 * one batch and brings the buffer to fill; buffers travel by transfer, never by copy.
 */
import { ThimbleError, type ErrorParts } from '@thimble/core';
import { parentPort, workerData } from 'node:worker_threads';
import {
  BatchFiller,
  type BatchRequest,
  type FilledBatch,
  type LoaderSettings,
} from './loader-fill.js';

export interface WorkerRequest {
  readonly id: number;
  readonly request: BatchRequest;
  readonly images: Float32Array;
}

export type WorkerReply =
  | { readonly id: number; readonly filled: FilledBatch }
  | { readonly id: number; readonly failed: ErrorParts | string };

const port = parentPort;
if (port === null) throw new Error('loader-worker.js is the body of a worker thread');
const filler = new BatchFiller(workerData as LoaderSettings);
let last: Promise<void> = Promise.resolve(); // one batch after the other: the memory of one

port.on('message', ({ id, request, images }: WorkerRequest) => {
  last = last.then(async () => {
    try {
      const filled = await filler.fill(request, images);
      port.postMessage({ id, filled } satisfies WorkerReply, [filled.images.buffer as ArrayBuffer]);
    } catch (error) {
      const failed = error instanceof ThimbleError ? error.parts : String(error);
      port.postMessage({ id, failed } satisfies WorkerReply);
    }
  });
});
