/**
 * What the values of a graph are called in ONNX. Images have their channels last in Thimble and first in ONNX: one that
 * an ONNX operator made is known with channels first, and transposed when somebody reads it otherwise, once.
 */
import type { ValueId } from '@thimble/core';

/** A result with its channels first, [B, C, H, W], of a value [B, H, W, C]. */
export interface ChannelsFirst {
  readonly channelsFirst: string;
}

/** What a lowering made: a name, as the value is in Thimble, or of an image with channels first. */
export type Lowered = string | ChannelsFirst;

export class ValueNames {
  private readonly asIs: Map<ValueId, string>;
  private readonly channelsFirst = new Map<ValueId, string>();

  constructor(inputs: ReadonlyMap<ValueId, string> = new Map()) {
    this.asIs = new Map(inputs);
  }

  set(id: ValueId, made: Lowered): void {
    if (typeof made === 'string') this.asIs.set(id, made);
    else this.channelsFirst.set(id, made.channelsFirst);
  }

  /** Whether it is known with channels first. */
  isImage(id: ValueId): boolean {
    return this.channelsFirst.has(id);
  }

  /** As it is in Thimble; undefined where nothing made it. @param transpose to channels last */
  get(id: ValueId, transpose: (x: string) => string): string | undefined {
    const known = this.asIs.get(id);
    const image = this.channelsFirst.get(id);
    if (known !== undefined || image === undefined) return known;
    const made = transpose(image);
    this.asIs.set(id, made);
    return made;
  }

  /** With channels first. @param transpose to channels first, of what `read` names */
  image(id: ValueId, read: () => string, transpose: (x: string) => string): string {
    const known = this.channelsFirst.get(id);
    if (known !== undefined) return known;
    const made = transpose(read());
    this.channelsFirst.set(id, made);
    return made;
  }
}
