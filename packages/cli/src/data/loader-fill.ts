/**
 * Fills one batch: reads, augments or crops, normalises. Runs in a loader's worker threads, or in
 * the calling thread when there are none; which, and how many, cannot be seen in the result.
 *
 * Training: position p of the epoch's order gets the first readable image at or after p
 * (cyclically), so a batch is always full and an unreadable image costs its neighbour a second
 * look, nothing else.
 * Too many that were lost since training began are an error (`watch.ts`).
 * Evaluation: unreadable images are left out; the rows after the real ones repeat the last real
 * row.
 */
import { DataError, epochOrder, type Images } from '@thimble/core';
import { setImmediate } from 'node:timers/promises';
import { type Garbage } from '@thimble/native';
import { ImagePreparation, type ReadImage, type ImagePreparationSettings } from './preparation.js';
import { checkLost } from './watch.js';
import { openSource, type OpenSource, type SourceDescription } from './source.js';

/** All that a worker needs to know; serialisable. */
export interface LoaderSettings extends ImagePreparationSettings {
  readonly source: SourceDescription;
  readonly batch: number;
  /** Images as levels, for a model that normalises them itself; default: as its numbers. */
  readonly levels?: boolean;
  /** Stop at the first unreadable image instead of skipping it. */
  readonly strict: boolean;
}

/** Which batch: number `index` of this epoch. Evaluation is the same in every epoch. */
export interface BatchRequest {
  readonly epoch: number;
  readonly index: number;
}

export interface SkippedImage {
  readonly index: number;
  readonly name: string;
  readonly reason: string;
  /** It has gone since training began, or was changed to what is no image. */
  readonly isLost: boolean;
}

export interface FilledBatch {
  readonly images: Images; // [batch, 3, size, size]
  readonly labels: Int32Array; // [batch]
  /** Which images of the source the rows are. */
  readonly indices: Uint32Array; // [batch]
  /** Rows that count; fewer than `batch` only in evaluation. */
  readonly real: number;
  /** Unreadable images met while filling this batch. */
  readonly skipped: readonly SkippedImage[];
  /** Names of images that have changed since training began, as far as it was seen now. */
  readonly changed: readonly string[];
  /** Why the cache of images is not filled any more; null while there is no reason. */
  readonly cacheFault: string | null;
}

/** Fills batches of one loader; remembers which images cannot be read. */
export class BatchFiller {
  private readonly settings: LoaderSettings;
  private readonly source: OpenSource;
  private readonly preparation: ImagePreparation;
  private readonly unreadable = new Map<number, SkippedImage>();
  /** Names of those that were lost. */
  private readonly lost: string[] = [];
  private readonly garbage: Garbage;
  private readonly onRead: (index: number) => void;
  private order: { epoch: number; indices: Uint32Array } | null = null;

  /**
   * @param garbage counts what was dropped in this thread
   * @param onRead is told the index of each image before it is read
   */
  constructor(
    settings: LoaderSettings,
    garbage: Garbage,
    onRead: (index: number) => void = () => undefined,
  ) {
    this.settings = settings;
    this.garbage = garbage;
    this.onRead = onRead;
    this.source = openSource(settings.source);
    this.preparation = new ImagePreparation(settings, this.source);
  }

  /** @param images the buffer to fill, [batch, 3, size, size]; it is part of the result. */
  async fill(request: BatchRequest, images: Images): Promise<FilledBatch> {
    const { batch, purpose } = this.settings;
    const labels = new Int32Array(batch);
    const indices = new Uint32Array(batch);
    const skipped = new Map<number, SkippedImage>();
    const reads =
      purpose === 'train'
        ? this.trainingReads(request, skipped)
        : this.evaluationReads(request, skipped);

    let real = 0;
    // At most one read; shifted out, so that nothing here holds its image while others are decoded.
    const ahead: Promise<ReadImage | null>[] = [];
    for (let position = 0; position < reads.length; position++) {
      const placed = await this.place(
        ahead.shift() ?? begin(reads[position]),
        request.epoch,
        row(images, real, batch),
        (bytes) => {
          // The next image is decoded while this one is resized, unless two are too many to hold.
          const next = position + 1 < reads.length && bytes <= AHEAD_BYTES;
          if (next) ahead.push(begin(reads[position + 1]));
        },
      );
      if (placed === null) continue;
      labels[real] = this.source.label(placed.index);
      indices[real] = placed.index;
      real++;
      // With what resizing it left. What was outside of V8 is freed in a later turn of the loop.
      if (this.garbage.dropped(2 * placed.bytes)) await setImmediate();
    }
    for (let position = real; position < batch; position++) {
      const last = Math.max(0, real - 1);
      if (real === 0) row(images, position, batch).fill(0);
      else row(images, position, batch).set(row(images, last, batch));
      labels[position] = labels[last];
      indices[position] = indices[last];
    }
    const { cacheFault } = this.preparation;
    const changed = this.source.takeChanged().filter((index) => !this.unreadable.has(index));
    return {
      ...{ images, labels, indices, real, cacheFault },
      skipped: [...skipped.values()],
      changed: changed.map((index) => this.source.name(index)),
    };
  }

  /** Reads an image and writes its numbers; nothing holds it afterwards. null: unreadable. */
  private async place(
    reading: Promise<ReadImage | null>,
    epoch: number,
    out: Images,
    onRead: (bytes: number) => void,
  ): Promise<{ readonly index: number; readonly bytes: number } | null> {
    const picture = await reading;
    const bytes = picture?.image.data.byteLength ?? 0;
    onRead(bytes);
    if (picture === null) return null;
    this.preparation.write(picture, epoch, out);
    return { index: picture.index, bytes };
  }

  private trainingReads(
    { epoch, index }: BatchRequest,
    skipped: Map<number, SkippedImage>,
  ): Read[] {
    const { batch, seed } = this.settings;
    if (this.order?.epoch !== epoch) {
      this.order = { epoch, indices: epochOrder(this.source.length, seed, epoch) };
    }
    const order = this.order.indices;
    const first = index * batch;
    return Array.from({ length: batch }, (_, p) => async () => {
      for (let step = 0; step < order.length; step++) {
        const picture = await this.read(order[(first + p + step) % order.length], skipped);
        if (picture !== null) return picture;
      }
      throw new DataError({
        where: 'training set',
        expected: 'at least one readable image',
        got: `${order.length} unreadable ones, the first: ${[...skipped.values()][0].reason}`,
        todo: 'Check that the files are images',
      });
    });
  }

  private evaluationReads({ index }: BatchRequest, skipped: Map<number, SkippedImage>): Read[] {
    const first = index * this.settings.batch;
    const real = Math.min(this.settings.batch, this.source.length - first);
    return Array.from({ length: real }, (_, i) => () => this.read(first + i, skipped));
  }

  /** Image i, or null when it cannot be read (an error when strict). */
  private async read(index: number, skipped: Map<number, SkippedImage>): Promise<ReadImage | null> {
    let known = this.unreadable.get(index);
    if (known === undefined) {
      try {
        this.onRead(index);
        return await this.preparation.read(index);
      } catch (error) {
        // What is not the image's fault does not make it unreadable.
        if (this.settings.strict || !(error instanceof DataError)) throw error;
        const isLost = this.source.isOther(index);
        known = { index, name: this.source.name(index), reason: error.parts.got, isLost };
        this.unreadable.set(index, known);
        if (isLost) this.lost.push(known.name);
        checkLost(this.lost, this.source.length);
      }
    }
    skipped.set(index, known);
    return null;
  }
}

/** Largest decoded image during whose resizing the next one is decoded. */
export const AHEAD_BYTES = 4e6;

type Read = () => Promise<ReadImage | null>;

/** Starts a read whose failure is looked at later. */
function begin(read: Read): Promise<ReadImage | null> {
  const reading = read();
  reading.catch(() => undefined);
  return reading;
}

function row(images: Images, position: number, batch: number): Images {
  const length = images.length / batch;
  return images.subarray(position * length, (position + 1) * length);
}
