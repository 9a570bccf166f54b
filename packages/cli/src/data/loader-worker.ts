/**
 * The body of a loader's worker thread: settings come as workerData, then each message asks for
 * one batch and brings the buffer to fill; buffers travel by transfer, never by copy.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { InternalError, type Images } from '@thimble/core';
import { Garbage } from '@thimble/native';
import {
  BatchFiller,
  type BatchRequest,
  type FilledBatch,
  type LoaderSettings,
} from './loader-fill.js';
import { sentError, type SentError } from './sent-error.js';

export interface WorkerData {
  readonly settings: LoaderSettings;
  /** Shared: the index of the image whose reading was begun last; −1 before the first. */
  readonly place: Int32Array;
}

export interface WorkerRequest {
  readonly id: number;
  readonly request: BatchRequest;
  readonly images: Images;
}

export type WorkerReply =
  | { readonly id: number; readonly filled: FilledBatch }
  | { readonly id: number; readonly failed: SentError };

const port = parentPort;
if (port === null) throw InternalError.of('loader-worker.js', 'a worker thread', 'the main one');
const { settings, place } = workerData as WorkerData;
const filler = new BatchFiller(settings, new Garbage(), (index) => {
  Atomics.store(place, 0, index);
});
let last: Promise<void> = Promise.resolve(); // one batch after the other: the memory of one

port.on('message', ({ id, request, images }: WorkerRequest) => {
  last = last.then(async () => {
    try {
      const filled = await filler.fill(request, images);
      port.postMessage({ id, filled } satisfies WorkerReply, [filled.images.buffer as ArrayBuffer]);
    } catch (error) {
      port.postMessage({ id, failed: sentError(error) } satisfies WorkerReply);
    }
  });
});
