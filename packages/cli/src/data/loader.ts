/**
 * Batches of numbers from a source of images, prepared by worker threads while the model trains.
 *
 *   const loader = new Loader({ source, purpose: 'train', batch: 16, seed: 0, … });
 *   for await (const { images, labels } of loader.epoch(0)) …
 *   await loader.close();
 *
 * Batch n of epoch e is a function of the settings alone, whatever the number of workers. At most
 * `prefetch` batches are ready or in the making, in as many buffers that are used again: the
 * images of a batch are valid until `taken` is called or the next batch is asked for, and the next
 * one is made from then on. With one buffer a batch is made while the model runs on the one before;
 * the first of an epoch or of another loader, too, where `then` begins it (`begin`).
 * Unreadable images are listed in `skipped`.
 *
 * The workers run the compiled loader-worker.js: beside this file when this file is compiled, in
 * dist/ when it runs from its TypeScript source (tests). Where there is none, or with
 * `workers: 0`, batches are made in the calling thread, with the same result.
 */
import {
  checkPreprocess,
  evaluationBatchCount,
  trainingBatchCount,
  type Images,
} from '@thimble/core';
import { Garbage } from '@thimble/native';
import { existsSync } from 'node:fs';
import type { FilledBatch, LoaderSettings, SkippedImage } from './loader-fill.js';
import { ownMaker, workerMaker, type Maker } from './maker.js';
import { openSource } from './source.js';
import { checkLost, namedImages } from './watch.js';

export type { FilledBatch, LoaderSettings, SkippedImage } from './loader-fill.js';

export interface LoaderOptions {
  /** Threads that decode; 0 for none but the calling one. */
  readonly workers?: number;
  /** Batches made ahead of use; default 1, or one for each worker. */
  readonly prefetch?: number;
  /** Shared with loaders that are used at other times; default its own. */
  readonly buffers?: Buffers;
  /** Told in one line what the loader goes on without; the same line again and again. */
  readonly onNote?: (text: string) => void;
}

/** Arrays that are used again, and what loaders that share them drop in their thread. */
export class Buffers {
  readonly garbage = new Garbage();
  private free: Images[] = [];

  /** One of `length` numbers, or levels, with any contents. */
  take(length: number, levels: boolean): Images {
    const found = this.free.findIndex(
      (buffer) => buffer.length === length && buffer instanceof Int8Array === levels,
    );
    if (found >= 0) return this.free.splice(found, 1)[0];
    return levels ? new Int8Array(length) : new Float32Array(length);
  }

  give(buffer: Images): void {
    this.free.push(buffer);
  }
}

const LOST = [
  'was lost since training began and is left out',
  'were lost since training began and are left out',
] as const;
const CHANGED = [
  'has changed since training began and is used as it is now',
  'have changed since training began and are used as they are now',
] as const;

export interface LoadedBatch extends FilledBatch {
  readonly taken: () => void;
}

/** Batches of an epoch from its first one on. */
interface Begun {
  readonly epoch: number;
  readonly queue: Promise<FilledBatch>[];
}

export class Loader {
  /** Images of the source. */
  readonly count: number;
  /** Batches in an epoch. */
  readonly batchCount: number;
  private readonly prefetch: number;
  private readonly makers: Maker[];
  private readonly unreadable = new Map<number, SkippedImage>();
  private readonly bufferLength: number;
  private readonly levels: boolean;
  private readonly buffers: Buffers;
  private readonly onNote: (text: string) => void;
  /** Names of images. */
  private readonly lost = new Set<string>();
  /** Names, since it was said last. */
  private news: { readonly lost: string[]; readonly changed: string[] } = { lost: [], changed: [] };
  /** Batches of the next epoch, those that are made before it is asked for. */
  private begun: Begun | null = null;

  /**
   * Throws DataError when a training set is smaller than one batch, ConfigError for bad settings.
   */
  constructor(settings: LoaderSettings, options: LoaderOptions = {}) {
    const { workers = 0, prefetch, buffers, onNote = () => undefined } = options;
    checkPreprocess(settings.preprocess);
    const counted = settings.purpose === 'train' ? trainingBatchCount : evaluationBatchCount;
    this.count = openSource(settings.source).length;
    this.batchCount = counted(this.count, settings.batch);
    const { batch, preprocess, levels = false } = settings;
    this.levels = levels;
    this.bufferLength = batch * 3 * preprocess.size * preprocess.size;
    this.prefetch = Math.max(1, prefetch ?? Math.min(workers, this.batchCount));
    this.buffers = buffers ?? new Buffers();
    this.onNote = onNote;
    const file = workers > 0 ? workerFile() : null;
    this.makers =
      file === null
        ? [ownMaker(settings, this.buffers.garbage)]
        : Array.from({ length: Math.min(workers, this.prefetch) }, () =>
            workerMaker(file, settings),
          );
  }

  /** Unreadable images so far, in the order of the source. */
  get skipped(): SkippedImage[] {
    return [...this.unreadable.values()].sort((a, b) => a.index - b.index);
  }

  /**
   * Begins to make the first batches of an epoch, `prefetch` of them, before they are asked for. Those of one epoch
   * at a time: what was begun of another is dropped when `epoch` is called.
   */
  begin(epoch: number): void {
    if (this.begun) return;
    const queue: Promise<FilledBatch>[] = [];
    for (let index = 0; index < Math.min(this.prefetch, this.batchCount); index++) {
      queue.push(this.fill(epoch, index));
    }
    this.begun = { epoch, queue };
  }

  /**
   * The batches of one epoch, in order, from number `from` on. Stop early with `break`; one epoch at a time.
   *
   * @param then called once, when all batches are made or in the making and there is a buffer left
   */
  async *epoch(epoch: number, from = 0, then = doNothing): AsyncGenerator<LoadedBatch, void, void> {
    const queue = await this.takeBegun(epoch, from);
    let asked = from + queue.length;
    let held = 0; // buffers in the hands of the caller
    const finish = once(then);
    const hasRoom = () => queue.length + held < this.prefetch;
    const ask = () => {
      for (; asked < this.batchCount && hasRoom(); asked++) queue.push(this.fill(epoch, asked));
      if (hasRoom()) finish();
    };
    try {
      ask();
      while (queue.length > 0) {
        const [next] = queue.splice(0, 1);
        const filled = await next;
        this.noteChanges(filled);
        if (filled.cacheFault !== null) this.onNote(filled.cacheFault);
        held++;
        const taken = once(() => {
          held--;
          this.buffers.give(filled.images);
          ask();
        });
        yield { ...filled, taken };
        taken();
      }
      this.sayChanges();
    } finally {
      await this.drop(queue);
    }
  }

  /** Ends the worker threads; the process can only end after this. */
  async close(): Promise<void> {
    await Promise.all(this.makers.map((maker) => maker.close()));
  }

  /** Batch `index` of an epoch, in the making. */
  private fill(epoch: number, index: number): Promise<FilledBatch> {
    const maker = this.makers[index % this.makers.length];
    const filling = maker.fill({ epoch, index }, this.buffer());
    filling.catch(() => undefined); // looked at when its turn comes
    return filling;
  }

  /** What was begun of this epoch; nothing where it starts at another batch than the first. */
  private async takeBegun(epoch: number, from: number): Promise<Promise<FilledBatch>[]> {
    const { begun } = this;
    this.begun = null;
    if (begun?.epoch === epoch && from === 0) return begun.queue;
    await this.drop(begun?.queue ?? []);
    return [];
  }

  /** Gives back the buffers of batches that nobody wants. */
  private async drop(queue: readonly Promise<FilledBatch>[]): Promise<void> {
    for (const left of await Promise.allSettled(queue)) {
      if (left.status === 'fulfilled') this.buffers.give(left.value.images);
    }
  }

  private noteChanges({ skipped, changed }: FilledBatch): void {
    const { news } = this;
    for (const image of skipped) {
      if (image.isLost && !this.lost.has(image.name)) news.lost.push(image.name);
      if (image.isLost) this.lost.add(image.name);
      this.unreadable.set(image.index, image);
    }
    for (const name of changed) if (!news.changed.includes(name)) news.changed.push(name);
    checkLost([...this.lost], this.count);
  }

  /** What became of the images in this epoch. */
  private sayChanges(): void {
    const { lost, changed } = this.news;
    this.news = { lost: [], changed: [] };
    if (lost.length > 0) this.onNote(namedImages(lost, LOST));
    if (changed.length > 0) this.onNote(namedImages(changed, CHANGED));
  }

  private buffer(): Images {
    return this.buffers.take(this.bufferLength, this.levels);
  }
}

function doNothing(): void {
  // what comes behind most epochs is not known
}

function once(body: () => void): () => void {
  let called = false;
  return () => {
    if (!called) body();
    called = true;
  };
}

function workerFile(): URL | null {
  const places = ['./loader-worker.js', '../../dist/data/loader-worker.js'];
  return (
    places.map((place) => new URL(place, import.meta.url)).find((url) => existsSync(url)) ?? null
  );
}
