/**
 * The explained variance of weights where neither the method's text nor --memory says it: 0.9 for few photos, else
 * the method's own. What truncation takes from a pretrained model has to be learned again from the photos, and
 * some hundreds cannot teach it.
 *
 * Measured on a pretrained vit-tiny-16 at 128 px: after 250 photos of five flowers, four epochs, one seed, `full` has
 * 94.8 % (loss 0.143), ε = 0.8 at most 92.3 % (0.228) at any rate, ε = 0.9 94.8 % (0.140); after 1,000 photos and
 * more of three sets, three epochs, ε = 0.8 is within 1.2 points of `full` (docs/methods.md, docs/benchmarks.md).
 */
import type { BoundMethod, OptionAxis } from '@thimble/core';

/** Fewer training photos than these are few. */
export const FEW_PHOTOS = 500;

const FOR_FEW = 0.9;

/** `method` with what is open of the explained variances of weights and of inputs that go with them. */
export function withUsualVariance(method: BoundMethod, photos: number): BoundMethod {
  if (photos >= FEW_PHOTOS || !isOpen(method, 'weights')) return method;
  return (['weights', 'activations'] as const).reduce((current, axis) => {
    const open = current.options.find((option) => option.axis === axis);
    return open ? open.choose(FOR_FEW) : current;
  }, method);
}

/** What is said where there are no photos to count; null where nothing is open. */
export function varianceNote(method: BoundMethod): string | null {
  if (!isOpen(method, 'weights')) return null;
  const photos = FEW_PHOTOS.toLocaleString('en');
  return (
    `this is ${method.text}; with fewer than ${photos} photos train takes ${String(FOR_FEW)}: ` +
    'write that to see it'
  );
}

function isOpen(method: BoundMethod, axis: OptionAxis): boolean {
  return method.options.some((option) => option.axis === axis);
}
