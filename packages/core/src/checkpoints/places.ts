/**
 * A checkpoint seen under Thimble's names through a layout, and the reverse.
 *
 * A parameter's places are the foreign tensors that hold its consecutive blocks of rows, first to last.
 */
import { elements, type Shape } from '../ir/types.js';
import { placesOf, type PlacedLayout } from '../models/naming.js';
import type { ElementPlace, WeightSource } from '../train/weights.js';

/** The shape of our parameter `name` in a file; null where one of its places is empty or does not fit. */
export function placedShape(
  layout: PlacedLayout,
  shapes: ReadonlyMap<string, Shape>,
  name: string,
): Shape | null {
  const parts = placesOf(layout, name)?.map((place) => shapes.get(place)) ?? [];
  const [first] = parts;
  if (!first || parts.some((part) => part?.join() !== first.join())) return null;
  return parts.length === 1 ? first : [first[0] * parts.length, ...first.slice(1)];
}

/** Our parameter `name`, its blocks of rows put together. */
export function readPlaced(layout: PlacedLayout, source: WeightSource, name: string): Float32Array {
  const places = placesOf(layout, name) ?? [name];
  if (places.length === 1) return source.read(places[0]);
  const parts = places.map((place) => source.read(place));
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** How tensors of integers are read of `source`, which calls them otherwise; nothing where it has none. */
export function integersOf(
  source: WeightSource,
  place: (name: string) => string,
): Pick<WeightSource, 'readIntegers'> {
  const { readIntegers } = source;
  return readIntegers ? { readIntegers: (name, dtype) => readIntegers(place(name), dtype) } : {};
}

/** Where an element of our parameter `name` is in the file. */
export function placedElement(
  layout: PlacedLayout,
  source: WeightSource,
  name: string,
  element: number,
): ElementPlace {
  let rest = element;
  for (const tensor of placesOf(layout, name) ?? []) {
    const count = elements(source.shapes.get(tensor) ?? []);
    if (rest < count) return locate(source, tensor, rest);
    rest -= count;
  }
  return locate(source, name, element);
}

/** Where `source` says that an element is. */
function locate(source: WeightSource, tensor: string, element: number): ElementPlace {
  return source.locate?.(tensor, element) ?? { tensor, element };
}

/** `source` without what all its names start with: `module.`, `model.`, `backbone.`, `_orig_mod.`. */
export function withoutWrapper(source: WeightSource): WeightSource {
  const wrapper = wrapperOf([...source.shapes.keys()]);
  if (wrapper === '') return source;
  return {
    name: source.name,
    shapes: new Map([...source.shapes].map(([name, shape]) => [name.slice(wrapper.length), shape])),
    read: (name) => source.read(wrapper + name),
    ...integersOf(source, (name) => wrapper + name),
    locate: (name, element) => locate(source, wrapper + name, element),
  };
}

/** Of DataParallel, Lightning and other trainers, torch.compile. */
const WRAPPERS = ['module.', 'model.', 'backbone.', '_orig_mod.'];
/** One inside the other; nobody has more. */
const MAX_WRAPPERS = 8;

/** All wrappers that all names start with. */
function wrapperOf(names: readonly string[]): string {
  let found = '';
  for (let count = 0; count < MAX_WRAPPERS && names.length > 0; count++) {
    const { length } = found;
    const next = WRAPPERS.find((wrapper) =>
      names.every((name) => name.startsWith(wrapper, length)),
    );
    if (next === undefined) break;
    found += next;
  }
  return found;
}
