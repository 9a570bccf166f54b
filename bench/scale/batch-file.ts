/** The batch of workload.ts, read one micro-batch at a time into memory that is used again, as a loader does. */
import { readSafetensorsHeader, type Batch } from '@thimble/core';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export class BatchFile {
  /** Images of the whole batch. */
  readonly images: number;
  private readonly file: number;
  /** Bytes before the first image and the first label. */
  private readonly imagesAt: number;
  private readonly labelsAt: number;
  private readonly pixels: number;
  private readonly path: string;
  private buffer = new Int8Array();

  constructor(path: string) {
    this.path = path;
    this.file = openSync(path, 'r');
    const length = new DataView(this.read(new Uint8Array(8), 0).buffer).getBigUint64(0, true);
    const bytes = this.read(new Uint8Array(8 + Number(length)), 0);
    const { tensors } = readSafetensorsHeader(bytes, fstatSync(this.file).size);
    const [images, labels] = [tensors.get('levels'), tensors.get('labels')];
    if (!images || !labels) throw new Error(`${path}: expected levels and labels`);
    this.images = images.shape[0];
    this.pixels = images.shape.slice(1).reduce((product, extent) => product * extent, 1);
    this.imagesAt = images.begin;
    this.labelsAt = labels.begin;
  }

  /** Images from `first` on; they last until the next call. */
  batch(first: number, count: number): Batch {
    const elements = count * this.pixels;
    if (this.buffer.length !== elements) this.buffer = new Int8Array(elements);
    const labels = new Int32Array(count);
    this.read(new Uint8Array(this.buffer.buffer), this.imagesAt + first * this.pixels);
    this.read(new Uint8Array(labels.buffer), this.labelsAt + 4 * first);
    return { images: this.buffer, labels, real: count };
  }

  close(): void {
    closeSync(this.file);
  }

  private read(into: Uint8Array<ArrayBuffer>, at: number): Uint8Array<ArrayBuffer> {
    if (readSync(this.file, into, 0, into.length, at) === into.length) return into;
    throw new Error(`${this.path} ends before byte ${at + into.length}`);
  }
}
