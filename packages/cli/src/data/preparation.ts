/**
 * The way of an image from its file to the numbers of a batch, in two parts: what is the same in every epoch, which a
 * cache may keep, and what is drawn anew.
 *
 *   view     evaluation, and training without random crops: the square that the model sees
 *   source   training with random crops: what they are cut from, reduced (`CropSource`)
 *
 * With a cache or without one, the numbers are the same bits: what is kept is exactly what is computed.
 */
import {
  augmentInto,
  augmentRandom,
  centreCrop,
  leastSide,
  normalizeInto,
  resizedEdge,
  varied,
  type Augment,
  type Images,
  type Preprocess,
  type RawImage,
} from '@thimble/core';
import { DECODER } from './decode.js';
import type { CropSource } from './decoding.js';
import { ImageCache, keyOf, type CacheSettings } from './image-cache.js';
import type { OpenSource } from './source.js';

export interface ImagePreparationSettings {
  readonly purpose: 'train' | 'evaluate';
  readonly seed: number;
  readonly preprocess: Preprocess;
  /** Used for training only. */
  readonly augment: Augment;
  /** Used for training only. Default: whole. */
  readonly cropSource?: CropSource;
  /** Default: none. */
  readonly cache?: CacheSettings;
}

/** An image that was read. */
export interface ReadImage {
  readonly index: number;
  readonly image: RawImage;
  /** It comes from the cache. */
  readonly isPrepared: boolean;
  /** Under which the cache is to keep what is made of it; null: not at all. */
  readonly key: string | null;
}

/** Files that are read and decoded as fast as an entry: images of some 100 pixels a side. */
const SMALL_BYTES = 4096;

/** Raised when decoding or resizing changes bits. */
const VERSION = 1;

export class ImagePreparation {
  private readonly settings: ImagePreparationSettings;
  private readonly source: OpenSource;
  /** What is kept is the square that the model sees. */
  private readonly isView: boolean;
  /** Pixels that suffice as the shortest side of an image. */
  private readonly leastSide: number;
  private readonly cache: ImageCache | null;
  private readonly form: string;

  constructor(settings: ImagePreparationSettings, source: OpenSource) {
    const { purpose, augment, preprocess, cropSource = 'whole', cache } = settings;
    this.settings = settings;
    this.source = source;
    this.isView = purpose === 'evaluate' || augment.crop === null;
    const isReduced = !this.isView && cropSource === 'reduced';
    this.leastSide = (isReduced ? leastSide(augment, preprocess) : null) ?? Infinity;
    // Whole photos are a hundred times as large.
    const isKept = cache !== undefined && (this.isView || isReduced);
    this.cache = isKept ? new ImageCache(cache) : null;
    const { size, resize, offset = 'even', filter } = preprocess;
    const view = [size, resizedEdge(preprocess), resize, offset, filter];
    this.form = JSON.stringify([VERSION, DECODER, this.isView ? view : this.leastSide]);
  }

  /** Why the cache is not filled any more; null while it is, and without one. */
  get cacheFault(): string | null {
    return this.cache?.fault ?? null;
  }

  /** Rejects where the image cannot be read. */
  async read(index: number): Promise<ReadImage> {
    const { cache, source } = this;
    const subject = source.subject(index);
    const key = cache && subject && subject.bytes > SMALL_BYTES ? keyOf(subject, this.form) : null;
    const kept = cache && key !== null ? cache.get(key) : null;
    if (kept) return { index, image: kept, isPrepared: true, key };
    const image = await source.pixels(index, this.leastSide);
    return { index, image, isPrepared: false, key };
  }

  /** Writes the numbers of an image. @param out [3, size, size] */
  write(picture: ReadImage, epoch: number, out: Images): void {
    const { purpose, seed, preprocess, augment } = this.settings;
    const image = this.prepared(picture);
    if (purpose === 'evaluate') {
      normalizeInto(image, preprocess, out);
      return;
    }
    const random = augmentRandom(seed, epoch, picture.index);
    if (this.isView) normalizeInto(varied(image, augment, random), preprocess, out);
    else augmentInto(image, augment, preprocess, random, out);
  }

  private prepared({ image, isPrepared, key }: ReadImage): RawImage {
    if (isPrepared) return image;
    const made = this.isView ? centreCrop(image, this.settings.preprocess) : image;
    if (key !== null) this.cache?.put(key, made);
    return made;
  }
}
